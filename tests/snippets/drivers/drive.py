"""Obeys one command a line: `list CONTACT`, `cancel CONTACT BOOKING`, `many COUNT CONTACT`; answers one line each."""

import json
import sys
from concurrent.futures import ThreadPoolExecutor

from token_holder import ApiError, OmniLab

omnilab = OmniLab()


def obey(verb: str, *words: str) -> object:
    if verb == "cancel":
        return omnilab.cancel_booking(*words)
    if verb == "list":
        return omnilab.list_bookings(*words)
    count, contact = int(words[0]), words[1]
    with ThreadPoolExecutor(count) as pool:
        return len(list(pool.map(omnilab.list_bookings, [contact] * count)))


for line in sys.stdin:
    try:
        print(json.dumps(obey(*line.split())), flush=True)
    except ApiError as error:
        print("error", error, flush=True)
