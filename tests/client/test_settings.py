"""Settings: where they come from, what is missing, and what is refused before anything is sent."""

from __future__ import annotations

from pathlib import Path

import pytest

from omnilab.client import AsyncOmniLab, ConfigurationError, OmniLab, OmniLabAuth
from omnilab.client.settings import Options, read_settings
from omnilab.client.testing import FakeOmniLab
from tests.client.by_hand import ENVIRON

GIVEN: Options = {"client_id": "c", "client_secret": "s", "audience": "a", "base_url": "https://x.example"}


def with_url(url: str, **options: bool) -> str:
    return read_settings({**GIVEN, "base_url": url, "environ": {}, **options}).base_url  # type: ignore[typeddict-item]


def test_arguments_come_before_the_environment() -> None:
    settings = read_settings({"client_id": "cli_2", "environ": ENVIRON})
    assert (settings.client_id, settings.audience) == ("cli_2", ENVIRON["OMNILAB_AUDIENCE"])


@pytest.mark.parametrize("client", [OmniLab, AsyncOmniLab, OmniLabAuth])
def test_everything_that_is_missing_is_named_at_once(client: type) -> None:
    with pytest.raises(ConfigurationError) as caught:
        client(environ={"OMNILAB_CLIENT_ID": "cli_1", "OMNILAB_AUDIENCE": "  "})
    assert set(caught.value.missing) == {"client_secret", "audience", "base_url"}
    for name in ("OMNILAB_CLIENT_SECRET or …_FILE", "OMNILAB_AUDIENCE", "OMNILAB_BASE_URL"):
        assert name in str(caught.value)
    assert "OMNILAB_CLIENT_ID" not in str(caught.value)


def test_the_process_environment_is_read_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeOmniLab()
    for name, value in fake.environ.items():
        monkeypatch.setenv(name, value)
    assert OmniLab(transport=fake.transport).whoami().tenant == "acme"


def test_the_secret_comes_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("s3cret\n")
    for options in ({"client_secret_file": file}, {}):
        environ = {**ENVIRON, "OMNILAB_CLIENT_SECRET": "", "OMNILAB_CLIENT_SECRET_FILE": str(file)}
        settings = read_settings({**options, "environ": environ})  # type: ignore[typeddict-item]
        assert settings.secret.read().reveal() == "s3cret"
        assert "s3cret" not in repr(settings)


@pytest.mark.parametrize(("content", "words"), [(b"", "is empty"), (b"x" * 5000, "too large"), (b"a\nb", "no text")])
def test_a_bad_secret_file_is_said_at_once(tmp_path: Path, content: bytes, words: str) -> None:
    file = tmp_path / "secret"
    file.write_bytes(content)
    with pytest.raises(ConfigurationError, match=words):
        read_settings({"client_id": "c", "audience": "a", "base_url": "https://x", "client_secret_file": file})


def test_two_secrets_are_one_too_many() -> None:
    with pytest.raises(ConfigurationError, match="not both"):
        read_settings({"environ": ENVIRON | {"OMNILAB_CLIENT_SECRET_FILE": "/x"}})
    # An argument replaces both variables of the environment.
    both = ENVIRON | {"OMNILAB_CLIENT_SECRET_FILE": "/x"}
    assert read_settings({"environ": both, "client_secret": "mine"}).secret.read().reveal() == "mine"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://api.example.com", "plain http"),
        ("http://10.0.0.5", "plain http"),
        ("http://127.0.0.1.evil.example", "plain http"),
        ("http://localhost.evil.example", "plain http"),
        ("https://api.example.com/v1", "without /v1"),
        ("https://api.example.com/v1/", "without /v1"),
        ("https://user:pw@api.example.com", "no user or password"),
        ("https://api.example.com?x=1", "no query"),
        ("https://api.example.com/#x", "no query"),
        ("api.example.com", "must be a URL"),
        ("ftp://api.example.com", "must be a URL"),
        ("https://", "must be a URL"),
        ("https://x:port", "must be a URL"),
        ("https://a b", "must be a URL"),
    ],
)
def test_a_base_url_that_cannot_be_right_is_refused_in_words(url: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        with_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://acme.api.example.com",
        "http://127.0.0.1:8080",
        "http://localhost:8080",
        "http://[::1]:80",
        "https://h/p",
    ],
)
def test_a_base_url_is_taken_as_it_is(url: str) -> None:
    assert with_url(url) == url
    assert with_url(url + "/") == url


def test_plain_http_needs_to_be_asked_for() -> None:
    assert with_url("http://omnilab:8080", allow_http=True) == "http://omnilab:8080"


@pytest.mark.parametrize("name", ["client_id", "audience"])
def test_a_line_break_in_an_identifier_is_said_at_once(name: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        read_settings({**GIVEN, name: "a\nb"})  # type: ignore[typeddict-item]


def test_a_secret_that_cannot_be_sent_is_refused_without_being_quoted() -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_settings({**GIVEN, "client_secret": "top\udcffsecret"})
    assert "top" not in str(caught.value)


@pytest.mark.parametrize("name", ["timeout_seconds", "total_seconds"])
@pytest.mark.parametrize("value", [0, -1, 3601])
def test_times_are_of_sense(name: str, value: float) -> None:
    with pytest.raises(ConfigurationError, match=name):
        read_settings({**GIVEN, name: value})  # type: ignore[typeddict-item]


def test_a_cache_without_its_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(__import__("sys").modules, "cryptography.hazmat.primitives.ciphers.aead", None)
    with pytest.raises(ConfigurationError, match=r"omnilab\[cache\]"):
        OmniLab(**GIVEN, token_cache=tmp_path / "token")
