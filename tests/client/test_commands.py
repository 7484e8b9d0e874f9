"""`omnilab token` and `omnilab api …`, as an integrator types them."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from omnilab.cli import main as door
from omnilab.client.testing import FakeOmniLab
from tests.conftest import Served

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeOmniLab]:
    fake = FakeOmniLab()
    with fake.serve() as environ:
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        yield fake


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["omnilab", *arguments])
        with pytest.raises(SystemExit) as ended:
            door.main(arguments)
        captured = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, captured.out, captured.err

    return run


def test_a_token_is_ready_for_a_header(fake: FakeOmniLab, run: Run) -> None:
    code, out, err = run("token")
    assert (code, out.strip(), err) == (0, f"Authorization: Bearer {next(iter(fake.tokens._live))}", "")


def test_a_token_as_json_is_the_token_services_answer(fake: FakeOmniLab, run: Run) -> None:
    code, out, _ = run("token", "--json")
    assert code == 0
    issued = next(iter(fake.tokens._live))
    assert json.loads(out) == {"access_token": issued, "token_type": "Bearer", "expires_in": 3600}


def test_a_real_tokens_claims_are_all_explained(served: Served) -> None:
    client = served.client
    settings = {"client_id": client.client_id, "client_secret": client.client_secret, "audience": client.audience}
    told = served.omnilab.cli("token", "--inspect", base_url=client.base_url, **settings)
    claims = {row["claim"]: row for row in told["claims"]}
    assert {"typ", "alg", "kid", "iss", "sub", "aud", "exp", "iat", "jti", "scope", "tenant", "credential_id"} <= set(
        claims
    )
    assert [name for name, row in claims.items() if row["meaning"].startswith("Not of")] == []
    assert claims["tenant"]["value"] == "acme"
    assert claims["credential_id"]["value"] == client.secret_id
    assert claims["exp"]["time"].endswith("Z")
    assert claims["exp"]["value"] - claims["iat"]["value"] == told["expires_in"]


def test_inspecting_shows_people_claims_and_not_the_token(fake: FakeOmniLab, run: Run) -> None:
    payload = {"iss": "https://x", "exp": 1_800_000_000, "odd": [1]}
    parts = [
        base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in ({"alg": "ES256"}, payload)
    ]
    fake.tokens.issue = lambda _seconds: ".".join([*parts, "c2ln"])  # type: ignore[method-assign]
    code, out, _ = run("token", "--inspect")
    assert code == 0
    for shown in ("How it is signed", "2027-01-15T08:00:00Z", "Not of OmniLab's contract", "Nothing was verified"):
        assert shown in out
    assert parts[1] not in out
    fake.tokens.issue = lambda _seconds: "opaque"  # type: ignore[method-assign]
    assert "only the platform can read it" in run("token", "--inspect")[1]


def test_bookings_are_listed_and_cancelled(fake: FakeOmniLab, run: Run) -> None:
    for number in (1, 2):
        fake.add_booking("contact-1", booking_id=f"bkg_{number}", interaction_id=f"int_{number}")
    code, out, _ = run("api", "list-bookings", "contact-1", "--json")
    found = json.loads(out)
    assert (code, found["total_count"]) == (0, 2)
    assert found["bookings"][0]["slot_start_date"].endswith("Z")
    code, out, _ = run("api", "cancel-booking", "contact-1", "bkg_1", "--reason", "ill", "--json")
    assert (code, json.loads(out)["booking_status"]) == (0, "CANCELLED")
    assert fake.calls[-1].idempotency_key
    code, out, _ = run("api", "list-bookings", "contact-1", "--status", "CONFIRMED", "--interaction-id", "int_2")
    assert "bkg_2" in out
    assert "bkg_1" not in out
    assert "no bookings" in run("api", "list-bookings", "nobody")[1]


def test_a_refusal_is_one_line_with_its_request_id(fake: FakeOmniLab, run: Run) -> None:
    code, out, err = run("api", "cancel-booking", "contact-1", "bkg_none")
    assert (code, out) == (1, "")
    assert "request id" in err
    code, out, err = run("api", "cancel-booking", "contact-1", "bkg_none", "--json")
    assert (code, json.loads(out)["error"]["code"], err) == (1, "booking_not_found", "")
    fake.client_secret = "another"
    code, out, _ = run("token", "--json")
    assert (code, json.loads(out)["error"]["code"]) == (1, "client_authentication_failed")


def test_what_is_missing_is_wrong_usage(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CLIENT_ID", "CLIENT_SECRET", "AUDIENCE", "BASE_URL"):
        monkeypatch.delenv(f"OMNILAB_{name}", raising=False)
    code, out, _ = run("token", "--client-id", "cli_1", "--json")
    error = json.loads(out)["error"]
    assert (code, error["code"]) == (2, "configuration_invalid")
    assert "OMNILAB_CLIENT_SECRET" in error["message"]
    assert "OMNILAB_CLIENT_ID" not in error["message"]


def test_a_lost_cancel_names_the_key_to_repeat_it_with(fake: FakeOmniLab, run: Run, monkeypatch: Any) -> None:
    monkeypatch.setattr("omnilab.client.settings.TOTAL_SECONDS", 0.3)
    booking = fake.add_booking("contact-1")
    fake.lose_next(call="cancel", times=1000, after=True)
    code, _, err = run("api", "cancel-booking", "contact-1", booking.booking_id)
    assert code == 3
    key = fake.calls[-1].idempotency_key
    assert f"--idempotency-key {key}" in err
    fake._plans.clear()
    assert run("api", "cancel-booking", "contact-1", booking.booking_id, "--idempotency-key", str(key))[0] == 0
    assert fake.store.cancelled == 1


def test_the_secret_comes_from_a_file_and_is_never_an_argument(
    fake: FakeOmniLab, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "secret"
    file.write_text(fake.client_secret)
    monkeypatch.delenv("OMNILAB_CLIENT_SECRET")
    assert run("token", "--client-secret-file", str(file), "--audience", fake.audience)[0] == 0
    assert run("token", "--client-secret", fake.client_secret)[0] == 2
