"""How id, secret, audience and URL were written down: named before anything is sent."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.client.doctor.clinic import DOMAIN, Ask, Clinic, Fault, setting


def changed(secret: str) -> str:
    """One character of the random part is another one."""
    return secret[:20] + ("a" if secret[20] != "a" else "b") + secret[21:]


# What is done to the text of the secret, and what the doctor is to say.
TEXTS: dict[str, tuple[Callable[[str], str], str]] = {
    "a character mistyped": (changed, "secret_mistyped"),
    "two characters swapped": (lambda secret: secret[:9] + secret[9:][::-1], "secret_mistyped"),
    "cut off": (lambda secret: secret[:-8], "secret_cut_off"),
    "pasted twice": (lambda secret: secret * 2, "secret_mistyped"),
    "in quotes": (lambda secret: f'"{secret}"', "secret_quoted"),
    "in curly quotes": (lambda secret: f"“{secret}”", "secret_quoted"),
    "a line break inside": (lambda secret: secret[:30] + "\n" + secret[30:], "secret_broken"),
    "an invisible character inside": (lambda secret: secret[:30] + "\u200b" + secret[30:], "secret_broken"),
    "a variable that was not replaced": (lambda _: "${OMNILAB_SECRET}", "secret_placeholder"),
    "the client id in its place": (lambda _: "cli_0198c0ffee", "secret_is_client_id"),
    "an access token in its place": (lambda _: "eyJhbGciOiJFUzI1NiJ9.e30.c2ln", "secret_is_token"),
}


@pytest.mark.parametrize("fault", TEXTS)
def test_how_the_secret_was_written_down(clinic: Clinic, ask: Ask, fault: str) -> None:
    change, code = TEXTS[fault]
    told = ask(OMNILAB_CLIENT_SECRET=change(clinic.good.client_secret))
    assert (told.code, told.cause, told.of("fail")) == (1, ("secret_text", code), ["secret_text"])
    assert {"dns", "connection", "platform", "clock"} <= set(told.of("pass"))  # the rest of the way is examined
    assert told.report["cause"]["fix"] in told.text


def test_blanks_around_the_secret_are_pointed_out(clinic: Clinic, ask: Ask, tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text(f" {clinic.good.client_secret}\n")
    for told in (
        ask(OMNILAB_CLIENT_SECRET=f"  {clinic.good.client_secret}\n"),
        ask("--client-secret-file", str(path), OMNILAB_CLIENT_SECRET=None),
    ):
        assert (told.code, told.cause, told.of("fail")) == (0, ("secret_text", "secret_blanks"), [])
        assert "Calls work" in told.text


SETTINGS = {
    "no client id": Fault(setting("CLIENT_ID", lambda _: None), "settings", "settings_missing"),
    "an empty secret": Fault(setting("CLIENT_SECRET", lambda _: ""), "settings", "settings_missing"),
    "id and secret swapped": Fault(
        lambda c: {"OMNILAB_CLIENT_ID": c.good.client_secret, "OMNILAB_CLIENT_SECRET": c.good.client_id},
        "settings",
        "client_id_is_secret",
    ),
    "a quoted audience": Fault(setting("AUDIENCE", lambda c: f"'{c.good.audience}'"), "settings", "setting_quoted"),
    "a version in the base URL": Fault(
        setting("BASE_URL", lambda c: f"{c.omnilab.url}/v1"), "settings", "settings_unusable"
    ),
    "plain http to another machine": Fault(
        setting("BASE_URL", lambda c: f"http://acme.api.{DOMAIN}:{c.port}"), "settings", "settings_unusable"
    ),
    "a password in the base URL": Fault(
        setting("BASE_URL", lambda c: f"http://ada:lovelace@127.0.0.1:{c.port}"), "settings", "settings_unusable"
    ),
    "a secret file that is not there": Fault(
        lambda _: {"OMNILAB_CLIENT_SECRET": None, "OMNILAB_CLIENT_SECRET_FILE": "/nowhere/secret"},
        "secret_text",
        "secret_file_unreadable",
    ),
}


@pytest.mark.parametrize("fault", SETTINGS)
def test_settings(clinic: Clinic, ask: Ask, fault: str) -> None:
    environ, check, code = SETTINGS[fault]
    told = ask(**environ(clinic))
    assert (told.code, told.cause, told.of("fail")) == (1, (check, code), [check])
    assert "lovelace" not in told.text
