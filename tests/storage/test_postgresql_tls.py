"""PostgreSQL over TLS, as its URL asks for it: the certificate is checked, and another one is not taken."""

from __future__ import annotations

import asyncio
import os
import tempfile
from pathlib import Path

import pytest
from sqlalchemy import text

from omnilab.errors import UnavailableError
from omnilab.storage.opening import open_database
from omnilab.storage.statement import Statement
from tests.deploy.nginx import make_certificate
from tests.harness.postgresql import PostgreSQL

ENCRYPTED = Statement(text("SELECT ssl::int, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()"))


def test_the_certificate_is_checked(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="omnilab-tls-") as folder:
        server = PostgreSQL(Path(folder), ssl="on", ssl_min_protocol_version="TLSv1.2")
        make_certificate(tmp_path, "localhost")
        for source, name in (("fullchain.pem", "server.crt"), ("privkey.pem", "server.key")):
            target = server.directory / name
            target.write_bytes((tmp_path / source).read_bytes())
            target.chmod(0o600)
            if owner := server._as:
                os.chown(target, owner["user"], owner["group"])
        other = tmp_path / "other"
        other.mkdir()
        make_certificate(other, "localhost")
        try:
            url = (
                server.start().url("template1").replace("127.0.0.1", "localhost") + "?sslmode=verify-full&sslrootcert="
            )
            [(encrypted, version)] = asyncio.run(asked(f"{url}{tmp_path}/fullchain.pem"))
            assert (encrypted, version) in ((1, "TLSv1.3"), (1, "TLSv1.2"))
            with pytest.raises(UnavailableError):
                asyncio.run(asked(f"{url}{other}/fullchain.pem"))
        finally:
            server.remove()


async def asked(url: str) -> list[tuple[object, ...]]:
    db = open_database(url)
    await db.start()
    try:
        return await db.fetch(ENCRYPTED)
    finally:
        await db.close()
