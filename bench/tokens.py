"""Rows about tokens: ours beside openssl, the floors and the peers; latency, workers, wrong secrets, many clients."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple, TypeVar

from bench.contenders import HERE, PEERS, floor, ours, peer, prepare_peers
from bench.data import Installation, installation
from bench.figures import Row, Run, openssl_rates, ratio_of, summary
from bench.machine import LOAD_CORE, SERVER_CORE, Program, core_time, wrk

T = TypeVar("T")
TOKEN = "/v1/oauth:token"
UVICORN, OWN = "constant on uvicorn", "constant on our server"
_ALGORITHMS = ("ecdsap256", "ed25519", "rsa2048")


def openssl(*algorithms: str, seconds: int = 1) -> dict[str, float]:
    """What openssl signs and verifies in a second on the servers' core, by the clock, as the servers are measured.

    Unasked it counts CPU time, which does not see what other guests of the machine take.
    """
    words = ["taskset", "-c", SERVER_CORE, "openssl", "speed", "-elapsed", "-seconds", str(seconds), *algorithms]
    return openssl_rates(subprocess.run(words, check=True, capture_output=True, text=True).stdout)


def rate_of(
    program: Program, path: str, requests: Path, seconds: float, *, warm: float = 1, connections: int = 64
) -> float:
    """Answers a second after a warm-up. Raises RuntimeError when there were none, or one was no 2xx."""
    url = f"http://127.0.0.1:{program.port}{path}"
    if warm:
        wrk(url, requests, seconds=warm, connections=connections)
    return _rate(wrk(url, requests, seconds=seconds, connections=connections), url)


def _rate(run: Run, url: str) -> float:
    if run.refused or not run.requests:
        raise RuntimeError(f"{run.refused} of {run.requests} answers of {url} were no 2xx")
    return run.rate


class Contender(NamedTuple):
    """A server that runs, and what it is asked."""

    name: str
    program: Program
    path: str
    requests: Path


def in_turn(contenders: Sequence[Contender], rounds: int, *, step: int = 0) -> dict[str, list[float]]:
    """The rates of contenders by name. All of them run and one at a time is asked, for a second, there and back again:
    the machine may change its speed by a third within seconds, and many short rounds catch that better than a few long
    ones. The first round warms up.

    step: by how many requests each round begins further on in its file.
    """
    rates: dict[str, list[float]] = defaultdict(list)
    for number in range(rounds + 1):
        for each in there_and_back(contenders, number):
            url = f"http://127.0.0.1:{each.program.port}{each.path}"
            rate = _rate(wrk(url, each.requests, seconds=1, start=number * step), url)
            if number:
                rates[each.name].append(rate)
    return dict(rates)


def there_and_back(contenders: Sequence[T], number: int) -> Sequence[T]:
    """The order of a round, so that nobody always comes first."""
    return contenders[::-1] if number % 2 else contenders


def compare(rounds: int, seconds: float) -> tuple[dict[str, list[float]], list[Row]]:
    """Everybody in turn, round after round."""
    small, peer_requests = installation("small"), prepare_peers()
    requests = small.token_requests()
    rates: dict[str, list[float]] = defaultdict(list)
    for _ in range(rounds):
        with floor("constant.py", "uvicorn", made=small) as program:
            rates[UVICORN].append(rate_of(program, TOKEN, requests, seconds))
        with floor("constant.py", "own", made=small) as program:
            rates[OWN].append(rate_of(program, TOKEN, requests, seconds))
        with ours(small) as program:
            wrk(f"http://127.0.0.1:{program.port}{TOKEN}", requests, seconds=1)
            before = openssl("ecdsap256")
            rates["ours"].append(rate_of(program, TOKEN, requests, seconds, warm=0))
            for name, rate in openssl("ecdsap256").items():
                rates[f"openssl {name}"].append((before[name] + rate) / 2)
        for name in PEERS:
            # A password hash a token: a longer look, no queue of a minute, and two rounds are enough.
            slow = name == "django-oauth-toolkit"
            if slow and len(rates[name]) == 2:
                continue
            with peer(name) as program:
                took, width = (max(seconds, 8), 1) if slow else (seconds, 64)
                rates[name].append(rate_of(program, "/token", peer_requests, took, connections=width))
    for name, rate in openssl(*_ALGORITHMS[1:]).items():
        rates[f"openssl {name}"].append(rate)
    return dict(rates), _ratios(rates)


def _ratios(rates: dict[str, list[float]]) -> list[Row]:
    figures = {name: summary(each) for name, each in rates.items()}
    rows = [Row(f"{name}, a second", each["median"], "", spread=each["spread"]) for name, each in figures.items()]

    def over(name: str, target: float | None, note: str = "") -> Row:
        return Row(f"tokens of ours ÷ {name}", ratio_of(rates["ours"], rates[name]), "×", target, note=note)

    return [
        *rows,
        over("openssl P-256 sign", 0.25, "aim 0.40"),
        over(UVICORN, None),
        over(OWN, None),
        over("oidc-provider", 4, "aim 8; per core"),
        over("Authlib + Flask", None),
        over("django-oauth-toolkit", 100, "at its defaults"),
    ]


def paced(program: Program, requests: Path, rate: float, seconds: float) -> dict[str, Any]:
    """Latency at a fixed rate, measured by a process on the other core."""
    words = [sys.executable, "-m", "bench.paced", str(program.port), f"{rate:.0f}", str(seconds), str(requests)]
    done = subprocess.run(
        ["taskset", "-c", LOAD_CORE, *words], check=True, capture_output=True, text=True, cwd=HERE.parent
    )
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


def latency(rounds: int, seconds: float) -> Iterator[Row]:
    """At 70 % of the top rate, and with a part of the secrets wrong; beside it a constant on uvicorn at the same rate,
    which is what the machine itself allows."""
    small = installation("small")
    for wrong, target in ((0.0, 10.0), (0.1, None), (0.9, None)):
        with ExitStack() as stack:
            program, beside = stack.enter_context(ours(small)), None
            if target is not None:
                beside = stack.enter_context(floor("constant.py", "uvicorn", made=small))
            looks = _steady_looks(program, beside, small.token_requests(wrong=wrong), rounds, seconds)
        p50, p99, rate = (median(each[name] for each in looks) for name in ("p50_ms", "p99_ms", "rate"))
        late, stolen = (max(each[name] for each in looks) for name in ("sender_late_ms", "stolen"))
        yield Row(
            f"99 % of tokens within, at 70 % of the top rate, {wrong:.0%} wrong secrets",
            p99,
            "ms",
            target,
            at_least=False,
            note=f"{rate:,.0f}/s; median {p50:.1f} ms; sender late by ≤ {late:.0f} ms; the host took ≤ {stolen:.0%}",
            spread=summary([each["p99_ms"] for each in looks])["spread"],
        )
        if beside is not None:
            figures = summary([each["beside_ms"] for each in looks])
            name = "99 % of answers of the constant on uvicorn within, at the same rate"
            yield Row(name, figures["median"], "ms", note="the machine's own share", spread=figures["spread"])


def _steady_looks(
    program: Program, beside: Program | None, requests: Path, rounds: int, seconds: float
) -> list[dict[str, Any]]:
    """Latencies at 70 % of the top rate, which is measured before and after each look; `beside_ms`: 99 % of another
    program's answers, right after and at the same rate.

    A machine that others use changes its speed by a third within a second, and then the rate was not 70 % of anything:
    looks are taken until the top rate changed by less than a tenth in so many, and the host took less than that of the
    server's core, at most four times as often, and the steadiest count.
    """
    right = installation("small").token_requests()
    top = rate_of(program, TOKEN, right, 1)
    looks: list[tuple[float, dict[str, Any]]] = []
    while len(looks) < 4 * rounds and sum(unrest < 0.1 for unrest, _ in looks) < rounds:
        before = core_time()
        look = paced(program, requests, 0.7 * top, seconds)
        look["stolen"] = core_time().stolen_since(before)
        if beside is not None:
            look["beside_ms"] = paced(beside, requests, 0.7 * top, seconds)["p99_ms"]
        earlier, top = top, rate_of(program, TOKEN, right, 1, warm=0)
        looks.append((max(abs(top / earlier - 1), look["stolen"]), look))
    looks.sort(key=lambda each: each[0])
    return [look for _, look in looks[:rounds]]


def cpu_of(program: Program, requests: Path, seconds: float) -> float:
    """CPU microseconds of the server for each request under load, whatever the answers say."""
    before = program.cpu_seconds()
    run = wrk(f"http://127.0.0.1:{program.port}{TOKEN}", requests, seconds=seconds)
    return (program.cpu_seconds() - before) / run.requests * 1e6


def costs(rounds: int) -> Iterator[Row]:
    """CPU a token, right and wrong, and with two workers on both cores. Both servers run; one at a time is asked."""
    small = installation("small")
    right, wrong = small.token_requests(), small.token_requests(wrong=1.0)
    found: dict[str, list[float]] = defaultdict(list)
    with ours(small) as one, ours(small, workers=2, cores=f"{SERVER_CORE},{LOAD_CORE}") as two:
        looks = (("one", one, right), ("wrong", one, wrong), ("two", two, right))
        for number in range(rounds + 1):
            for name, program, requests in there_and_back(looks, number):
                microseconds = cpu_of(program, requests, 1)
                if number:  # the first round warms up
                    found[name].append(microseconds)
    yield Row("CPU a token", median(found["one"]), "µs", spread=summary(found["one"])["spread"])
    yield Row("CPU a wrong secret", median(found["wrong"]), "µs", spread=summary(found["wrong"])["spread"])
    yield Row(
        "CPU of a wrong secret ÷ of a right one", ratio_of(found["wrong"], found["one"]), "×", 1.0, at_least=False
    )
    note = "2 × CPU a token with one ÷ with two workers on both cores: the load generator's share is not counted"
    yield Row("two workers ÷ one", 2 * ratio_of(found["one"], found["two"]), "×", 1.7, note=note)


def many_clients(rounds: int) -> Iterator[Row]:
    """Random access over 100,000 clients beside 100, each in its own server, one asked at a time; memory."""
    megabytes: dict[str, tuple[float, float]] = {}
    made = {name: installation(name) for name in ("small", "tenthousand", "wide")}
    requests = {name: each.token_requests() for name, each in made.items()}
    with ours(made["tenthousand"]) as program:
        wrk(f"http://127.0.0.1:{program.port}{TOKEN}", requests["tenthousand"], seconds=3)
        megabytes["tenthousand"] = program.worker_megabytes()
    with ours(made["small"]) as small, ours(made["wide"]) as wide:
        programs = {"small": small, "wide": wide}
        # Long enough that most of the 100,000 have been seen: a client's first token is looked at more closely.
        wrk(f"http://127.0.0.1:{wide.port}{TOKEN}", requests["wide"], seconds=12)
        contenders = [Contender(name, program, TOKEN, requests[name]) for name, program in programs.items()]
        rates = in_turn(contenders, rounds, step=9_000)
        megabytes |= {name: program.worker_megabytes() for name, program in programs.items()}
    ratio = ratio_of(rates["wide"], rates["small"])
    yield Row("tokens with 100,000 clients ÷ with 100", ratio, "×", 0.8, note="random access")
    for name, clients, target in (("tenthousand", "10,000", 90), ("small", "100", None)):
        pss, rss = megabytes[name]
        row = Row(f"memory of a worker after load, {clients} clients", pss, "MB", target, at_least=False)
        yield row._replace(note=f"PSS; RSS {rss:.0f} MB")
    growth = (megabytes["wide"][0] - megabytes["small"][0]) / 10
    yield Row("memory for each 10,000 clients", growth, "MB", note="from 100 to 100,000")


def _start(made: Installation) -> float:
    """Seconds from the command to its first answer."""
    began = time.monotonic()
    with ours(made) as program:
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{program.port}/readyz").close()
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.005)
            else:
                return time.monotonic() - began


def starts(times: int) -> Iterator[Row]:
    """From the command to the first answer."""
    for name, target in (("small", 1.5), ("tenthousand", 1.5), ("wide", None)):
        found = [_start(installation(name)) for _ in range(times)]
        clients = {"small": "100", "tenthousand": "10,000", "wide": "100,000"}[name]
        spread = summary(found)["spread"]
        yield Row(
            f"start to first answer, {clients} clients", median(found), "s", target, at_least=False, spread=spread
        )
