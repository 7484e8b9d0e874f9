// Obeys one command a line, like drive.py.
import { createInterface } from "node:readline";
import { cancelBooking, listBookings } from "./token_holder.mjs";

const verbs = {
  list: listBookings,
  cancel: cancelBooking,
  many: async (count, contact) => (await Promise.all(Array.from({ length: count }, () => listBookings(contact)))).length,
};
for await (const line of createInterface({ input: process.stdin })) {
  const [verb, ...words] = line.split(" ");
  console.log(await verbs[verb](...words).then(JSON.stringify, (error) => `error ${error.message}`));
}
