"""Rows about connections that mostly say nothing, plain and behind a TLS proxy (nginx) as a deployment has one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.contenders import HERE, ours
from bench.data import BUILD, installation
from bench.figures import Row
from bench.machine import LOAD_CORE, free_port, running, wrk
from bench.tokens import TOKEN

IDLE = 2000
_NGINX = """worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log; daemon off;
events {{ worker_connections 8192; }}
http {{ access_log off; client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
uwsgi_temp_path {folder}; scgi_temp_path {folder};
upstream omnilab {{ server 127.0.0.1:{behind}; keepalive 128; }}
server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {folder}/cert.pem; ssl_certificate_key {folder}/key.pem;
keepalive_timeout 75s; keepalive_requests 1000000; location / {{ proxy_pass http://omnilab; proxy_http_version 1.1;
proxy_set_header Connection ""; proxy_set_header Host $host; }} }} }}
"""


def idle_connections(seconds: float) -> Iterator[Row]:
    """Tokens a second with 2,000 silent connections held open, beside none."""
    small = installation("small")
    requests = small.token_requests()
    with ours(small) as program:
        alone = _rate(f"http://127.0.0.1:{program.port}", requests, seconds)
        with _held(program.port):
            beside = _rate(f"http://127.0.0.1:{program.port}", requests, seconds)
            pss, rss = program.worker_megabytes()
        yield Row(f"tokens beside {IDLE:,} idle connections ÷ beside none", beside / alone, "×", note="without TLS")
        name = f"memory of a worker with {IDLE:,} idle connections"
        yield Row(name, pss, "MB", note=f"PSS; RSS {rss:.0f} MB")
        with _tls_in_front(program.port) as port:
            alone = _rate(f"https://127.0.0.1:{port}", requests, seconds)
            with _held(port, "tls"):
                beside = _rate(f"https://127.0.0.1:{port}", requests, seconds)
        note = "nginx with TLS in front, on the load's core"
        yield Row("tokens a second through TLS", alone, "", note=note)
        yield Row(f"the same beside {IDLE:,} idle TLS connections ÷ beside none", beside / alone, "×", note=note)


def _rate(url: str, requests: Path, seconds: float) -> float:
    wrk(url + TOKEN, requests, seconds=1)
    run = wrk(url + TOKEN, requests, seconds=seconds)
    if run.refused:
        raise RuntimeError(f"{run.refused} of {run.requests} answers of {url} were no 2xx")
    return run.rate


@contextmanager
def _held(port: int, *options: str) -> Iterator[None]:
    words = ["prlimit", "--nofile=8192", sys.executable, "-m", "bench.idle", str(port), str(IDLE), *options]
    process = subprocess.Popen(
        ["taskset", "-c", LOAD_CORE, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=HERE.parent
    )
    assert process.stdout is not None
    try:
        if process.stdout.readline() != b"held\n":
            raise RuntimeError("the idle connections could not be opened")
        yield
    finally:
        process.kill()
        process.wait()


@contextmanager
def _tls_in_front(behind: int) -> Iterator[int]:
    folder, port = BUILD / "nginx", free_port()
    folder.mkdir(exist_ok=True)
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    words += ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem"), "-subj", "/CN=127.0.0.1"]
    subprocess.run(words, check=True, capture_output=True)
    (folder / "nginx.conf").write_text(_NGINX.format(folder=folder, behind=behind, port=port))
    line = ["nginx", "-c", str(folder / "nginx.conf"), "-p", str(folder)]
    env = os.environ | {"PATH": os.environ["PATH"] + ":/usr/sbin"}
    with running(line, port, env=env, log=folder / "log", cores=LOAD_CORE):
        yield port
