"""`make fuzz`: a million spoiled inputs over the four readers. SEED and COUNT say otherwise where they are set."""

from __future__ import annotations

import os
import random
import secrets
import sys
import time
from concurrent.futures import ProcessPoolExecutor

from tests.fuzz.mutation import spoiled
from tests.fuzz.readers import READERS, Reader


def fuzz(reader: Reader, seed: str, count: int) -> int:
    """Give a reader so many inputs; how many it understood. Raises AssertionError naming the one that broke a rule."""
    chance = random.Random(f"{seed} {reader.name}")
    understood = 0
    for _ in range(count):
        data = spoiled(chance, reader.corpus)
        try:
            understood += reader.hold(data)
        except Exception as error:
            raise AssertionError(f"{reader.name}, {data!r}: {type(error).__name__}: {error}") from error
    return understood


def _one(place: int, seed: str, count: int) -> tuple[str, int, float]:
    began = time.monotonic()
    understood = fuzz(READERS[place], seed, count)
    return READERS[place].name, understood, time.monotonic() - began


def main() -> int:
    """Run, print a line a reader, and say by the exit code whether all held."""
    seed, count = os.environ.get("SEED") or secrets.token_hex(8), int(os.environ.get("COUNT") or 1_000_000)
    share = count // len(READERS)
    _say(f"SEED={seed} COUNT={count}")
    with ProcessPoolExecutor() as pool:
        running = [pool.submit(_one, place, seed, share) for place in range(len(READERS))]
        for each in running:
            try:
                name, understood, seconds = each.result()
            except AssertionError as error:
                _say(f"FAILED {error}")
                return 1
            _say(f"{name:<14} {share} inputs, {understood} understood, the others refused, {seconds:.0f} s")
    return 0


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
