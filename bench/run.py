"""Tokens a second of ours, of a floor and of three peers, in one interleaved run. Started by `make bench`.

Servers on core 0, wrk on core 1. Prints the table and writes `bench/results/<date>-<cpu>.json`.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from bench.figures import openssl_sign_rate, ratios, summary, wrk_rate

HERE, BUILD = Path("bench").resolve(), Path("build/bench").resolve()
PEER_BIN = BUILD / "peers/bin"
CLIENTS = 100
PORTS = {"ours": 8201, "floor": 8202, "oidc-provider": 8203, "authlib": 8204, "django-oauth-toolkit": 8205}


def prepare() -> dict[str, str]:
    """An installation of ours with quotas on, databases of the peers, and the bodies to send."""
    data = BUILD / "data"
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir(parents=True)
    env = os.environ | {"OMNILAB_DATABASE_URL": f"sqlite:///{data}/omnilab.db", "BENCH_DIRECTORY": str(data)}
    env |= {"BENCH_CLIENTS": str(CLIENTS)}
    env |= {f"OMNILAB_{who}_TOKEN_QUOTA": "60000000/minute" for who in ("CLIENT", "TENANT")}
    ours, credentials = str(Path(sys.executable).with_name("omnilab")), data / "credentials"
    subprocess.run([ours, "init"], env=env, check=True, stdout=subprocess.DEVNULL)
    seed = ["seed", "--tenants", "20", "--clients", str(CLIENTS), "--bookings", "0"]
    words = [ours, *seed, "--credentials-file", str(credentials)]
    subprocess.run(words, env=env, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    subprocess.run([PEER_BIN / "python", HERE / "peers/django_toolkit/server.py"], env=env, check=True)
    form = "grant_type=client_credentials&client_id={}&client_secret={}\n"
    known = [json.loads(line) for line in credentials.read_text().splitlines()]
    own = "".join(form.format(each["client_id"], each["client_secret"]) for each in known)
    (data / "ours.txt").write_text(own)
    secret = "secret-of-client-{}-0123456789abcdefghijklmnopqrstuvwxyz"
    peers = "".join(form.format(f"client-{n}", secret.format(n)) for n in range(CLIENTS))
    (data / "peers.txt").write_text(peers)
    return env


def commands() -> dict[str, list[str]]:
    """How each contender starts."""
    gunicorn = [str(PEER_BIN / "gunicorn"), "--log-level", "error", "server:app"]
    own = str(Path(sys.executable).with_name("omnilab"))
    return {
        "ours": [own, "serve", "--workers", "1", "--port", str(PORTS["ours"])],
        "floor": [sys.executable, str(HERE / "floors/constant.py"), str(PORTS["floor"])],
        "oidc-provider": ["node", "server.mjs", str(PORTS["oidc-provider"]), str(CLIENTS)],
        "authlib": [*gunicorn, "--chdir", str(HERE / "peers/flask_authlib"), "-b", f"127.0.0.1:{PORTS['authlib']}"],
        "django-oauth-toolkit": [
            *(*gunicorn, "--chdir", str(HERE / "peers/django_toolkit")),
            *("-b", f"127.0.0.1:{PORTS['django-oauth-toolkit']}"),
        ],
    }


def start(name: str, words: list[str], env: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start a contender on core 0 and wait until it listens. Raises RuntimeError."""
    with (BUILD / "data" / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            ["taskset", "-c", "0", *words], env=env, cwd=BUILD / "oidc-provider", stdout=log, stderr=log
        )
    for _ in range(150):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", PORTS[name])) == 0:
                return process
        time.sleep(0.1)
    process.kill()
    raise RuntimeError(f"{name} does not listen; see its log in build/bench/data")


def load(name: str, seconds: int, env: dict[str, str]) -> float:
    """Requests a second over 64 connections from core 1."""
    path = "/v1/oauth:token" if name == "ours" else "/token"
    bodies = BUILD / "data" / ("ours.txt" if name == "ours" else "peers.txt")
    words = ["taskset", "-c", "1", "wrk", "-t1", "-c64", f"-d{seconds}s", "--timeout", "30s", "-s"]
    words += [str(HERE / "tokens.lua"), f"http://127.0.0.1:{PORTS[name]}{path}"]
    done = subprocess.run(words, env=env | {"BENCH_BODIES": str(bodies)}, check=True, capture_output=True, text=True)
    return wrk_rate(done.stdout)


def measure(rounds: int, seconds: int, env: dict[str, str]) -> dict[str, list[float]]:
    """Each contender alone in turn, round after round; a second of warm-up before each."""
    rates: dict[str, list[float]] = {}
    for _ in range(rounds):
        words = ["taskset", "-c", "0", "openssl", "speed", "-seconds", "1", "ecdsap256"]
        printed = subprocess.run(words, check=True, capture_output=True, text=True).stdout
        rates.setdefault("openssl", []).append(openssl_sign_rate(printed))
        for name, command in commands().items():
            process = start(name, command, env)
            try:
                load(name, 1, env)
                rates.setdefault(name, []).append(load(name, seconds, env))
            except ValueError as error:
                print(f"{name}: not measured: {error}", file=sys.stderr)
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait()
    return rates


def main() -> None:
    rounds, seconds = (2, 2) if "--quick" in sys.argv else (5, 7)
    rates = measure(rounds, seconds, prepare())
    figures = {name: summary(each) for name, each in rates.items()}
    shares = ratios({name: each["median"] for name, each in figures.items()})
    for name, each in figures.items():
        ratio = f"{shares[f'ours/{name}']:10.2f}" if name != "ours" else ""
        print(f"{name:22} {each['median']:10.0f}/s  ± {each['spread'] / 2:4.0%}  {ratio}")
    cpu = re.sub(r"\W+", "-", platform.machine())
    path = HERE / "results" / f"{datetime.now(UTC):%Y-%m-%d}-{cpu}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(
        json.dumps({"rounds": rounds, "rates": rates, "figures": figures, "ratios": shares}, indent=1) + "\n"
    )


if __name__ == "__main__":
    main()
