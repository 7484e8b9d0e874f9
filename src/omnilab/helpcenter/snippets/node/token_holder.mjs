// OmniLab from Node.js 20 without a package: one token for the process, kept until 80 % of its life,
// renewed once after a 401.
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";

const { OMNILAB_BASE_URL, OMNILAB_CLIENT_ID, OMNILAB_CLIENT_SECRET, OMNILAB_AUDIENCE } = process.env;
const ATTEMPTS = 3;
const LONGEST_WAIT_SECONDS = 30;

let held = { token: null, renewAt: 0 };
let flight = null; // the one token request on its way

export function listBookings(externalId, pageNumber = 1) {
  const query = new URLSearchParams({ external_id: externalId, page_number: pageNumber });
  return call(`/v1/interactions:fetchContactBookings?${query}`);
}

export function cancelBooking(externalId, bookingId) {
  return call("/v1/interactions:cancelContactBooking", {
    method: "POST",
    headers: {
      "Content-Type": "application/json",
      "Idempotency-Key": randomUUID(), // what makes it safe to send the call again
    },
    body: JSON.stringify({ external_id: externalId, booking_id: bookingId }),
  });
}

async function call(path, options = {}) {
  const withToken = (token) =>
    send(path, { ...options, headers: { ...options.headers, Authorization: `Bearer ${token}` } });
  const token = await currentToken();
  let answer = await withToken(token);
  if (answer.status === 401) {
    answer = await withToken(await currentToken(token)); // one retry with a new token, never two
  }
  return documentOf(answer);
}

async function currentToken(refused) {
  if (held.token === null || held.token === refused || performance.now() >= held.renewAt) {
    flight ??= fetchToken().finally(() => (flight = null)); // the first one asks, the others wait for it
    await flight;
  }
  return held.token;
}

async function fetchToken() {
  const asked = performance.now();
  const answer = await send("/v1/oauth:token", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({
      client_id: OMNILAB_CLIENT_ID,
      client_secret: OMNILAB_CLIENT_SECRET,
      audience: OMNILAB_AUDIENCE,
      grant_type: "client_credentials",
    }),
  });
  const { access_token, expires_in } = await documentOf(answer);
  held = { token: access_token, renewAt: asked + 0.8 * expires_in * 1000 };
}

async function send(path, options) {
  for (let attempt = 1; ; attempt++) {
    const answer = await fetch(OMNILAB_BASE_URL + path, { ...options, signal: AbortSignal.timeout(10_000) });
    const wait = Number(answer.headers.get("Retry-After") ?? 1);
    if (![429, 503].includes(answer.status) || wait > LONGEST_WAIT_SECONDS || attempt === ATTEMPTS) return answer;
    await answer.body?.cancel();
    await sleep(wait * 1000);
  }
}

async function documentOf(answer) {
  const document = await answer.json().catch(() => ({}));
  if (answer.ok) return document;
  // Safe to log: no token, no secret, no address with a contact's id.
  const code = document.code ?? document.error;
  throw new Error(`${answer.status} ${code}, request ${answer.headers.get("X-Request-Id")}`);
}
