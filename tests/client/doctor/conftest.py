"""One platform for all examinations, and the command run in this process."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from omnilab.cli import main as door
from tests.client.doctor.clinic import DOMAIN, Ask, Clinic, Told
from tests.client.doctor.fronts import Authority
from tests.harness import Credentials, Omnilab


@pytest.fixture(scope="package")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clinic]:
    directory = tmp_path_factory.mktemp("clinic")
    omnilab = Omnilab(directory, tenant_domain=DOMAIN, failed_authentications_per_client_per_minute="30").init()
    authorities = (Authority.made_in(directory, "known"), Authority.made_in(directory, "unknown"))
    with omnilab.command_line() as run, omnilab.serve() as server:
        made = Clinic(omnilab, server, run, *authorities, good=None)  # type: ignore[arg-type]
        for tenant in ("acme", "other", "asleep"):
            run.run("tenants", "create", tenant, "--name", tenant)
            run.run("entitlements", "allow", tenant, "bookings:create")
        made.good = made.client()
        yield made


@pytest.fixture(autouse=True)
def names(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name server: the hosts of tenants are on this machine, hosts under .invalid nowhere."""
    real = socket.getaddrinfo

    def look_up(host: Any, *rest: Any, **more: Any) -> Any:
        if str(host).endswith(".invalid"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return real("127.0.0.1" if str(host).endswith(f".{DOMAIN}") else host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    for name in [each for each in os.environ if each.lower().endswith("_proxy") or each.startswith("OMNILAB_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def ask(clinic: Clinic, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Runs the command for `clinic.good`, with changes to its environment, as JSON and for people."""

    def ask(*words: str, client: Credentials | None = None, **environ: str | None) -> Told:
        who = client or clinic.good
        given: dict[str, str | None] = {
            "OMNILAB_CLIENT_ID": who.client_id,
            "OMNILAB_CLIENT_SECRET": who.client_secret,
            "OMNILAB_AUDIENCE": who.audience,
            "OMNILAB_BASE_URL": clinic.omnilab.url,
            **environ,
        }
        for name, value in given.items():
            if value is None:
                monkeypatch.delenv(name, raising=False)
            else:
                monkeypatch.setenv(name, value)
        outputs = []
        for arguments in (["doctor", *words, "--json"], ["doctor", *words]):
            monkeypatch.setattr("sys.argv", ["omnilab", *arguments])
            with pytest.raises(SystemExit) as ended:
                door.main(arguments)
            captured = capsys.readouterr()
            outputs.append(captured.out)
            assert captured.err == ""
            assert who.client_secret not in captured.out
            assert "eyJ" not in captured.out
        assert isinstance(ended.value.code, int)
        return Told(ended.value.code, json.loads(outputs[0]), outputs[1])

    yield ask
    clinic.stack.close()
