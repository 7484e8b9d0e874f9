"""The nginx configuration that is shipped, run as it is but for its ports, its paths and where the nodes are."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.harness import free_port

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
NGINX = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin") or "/usr/sbin/nginx"
_MAIN = """
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
{user}
events {{ worker_connections 512; }}
http {{
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  include {folder}/omnilab.conf;
}}
"""


@dataclass(frozen=True, slots=True)
class Proxy:
    """A running nginx; `authority` is the certificate that callers trust."""

    folder: Path
    http_port: int
    https_port: int
    authority: Path

    @property
    def log(self) -> str:
        return (self.folder / "access.log").read_text()


def make_certificate(folder: Path, *names: str) -> Path:
    """A certificate of its own making for these names, and its key beside it."""
    key = ec.generate_private_key(ec.SECP256R1())
    who = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "OmniLab tests")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(who)
        .issuer_name(who)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "fullchain.pem").write_bytes(certificate.public_bytes(pem))
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "privkey.pem").write_bytes(private)
    return folder / "fullchain.pem"


def configured(folder: Path, nodes: Sequence[int], *, http_port: int, https_port: int, waits: str) -> Path:
    """The shipped files with this place's own values; the main file."""
    text = (DEPLOY / "nginx/omnilab.conf").read_text()
    inc = (
        (DEPLOY / "nginx/omnilab-proxy.inc")
        .read_text()
        .replace("proxy_read_timeout 15s", f"proxy_read_timeout {waits}")
    )
    servers = "\n    ".join(f"server 127.0.0.1:{port} max_fails=1 fail_timeout=2s;" for port in nodes)
    for old, new in (
        ("server 127.0.0.1:8080 max_fails=1 fail_timeout=2s;", servers),
        ("listen 80 default_server", f"listen 127.0.0.1:{http_port} default_server"),
        ("listen 443 ssl default_server", f"listen 127.0.0.1:{https_port} ssl default_server"),
        ("/etc/omnilab/tls/", f"{folder}/"),
        ("/var/log/nginx/omnilab.log", f"{folder}/access.log"),
        ("/etc/nginx/omnilab-proxy.inc", f"{folder}/omnilab-proxy.inc"),
    ):
        assert old in text, old
        text = text.replace(old, new)
    (folder / "omnilab.conf").write_text(text)
    (folder / "omnilab-proxy.inc").write_text(inc)
    main = folder / "nginx.conf"
    main.write_text(_MAIN.format(folder=folder, user="user root;" if os.geteuid() == 0 else ""))
    return main


@contextmanager
def proxy(folder: Path, nodes: Sequence[int], *names: str, waits: str = "15s") -> Iterator[Proxy]:
    """nginx before these ports, with a certificate for these names, until the block ends."""
    folder.mkdir()
    authority = make_certificate(folder, *names)
    found = Proxy(folder, free_port(), free_port(), authority)
    main = configured(folder, nodes, http_port=found.http_port, https_port=found.https_port, waits=waits)
    tested = subprocess.run([NGINX, "-t", "-c", str(main)], capture_output=True, text=True, check=False)
    assert tested.returncode == 0, tested.stderr
    assert "[warn]" not in tested.stderr, tested.stderr
    process = subprocess.Popen([NGINX, "-c", str(main)], stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 20
        while socket.socket().connect_ex(("127.0.0.1", found.https_port)):
            assert process.poll() is None, (folder / "error.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield found
    finally:
        process.terminate()
        process.wait(20)
