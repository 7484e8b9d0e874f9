"""Settings: arguments first, the environment for what they leave out; everything that is missing is named at once.

Nothing is sent from here. The secret is wrapped as soon as it is read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TypedDict
from urllib.parse import SplitResult, urlsplit

import msgspec

from omnilab.client.clock import Clock
from omnilab.client.errors import ConfigurationError
from omnilab.client.hidden import Hidden
from omnilab.client.secret import ClientSecret, is_text

TIMEOUT_SECONDS = 10.0
TOTAL_SECONDS = 30.0
_PREFIX = "OMNILAB_"
_LOOPBACK = re.compile(r"localhost|[a-z0-9-]+\.localhost|127(\.\d{1,3}){3}|::1")
_VISIBLE = re.compile(r"[\x21-\x7e]+")


class Options(TypedDict, total=False):
    """What every client takes. What is left out is read from the environment variable in brackets."""

    client_id: str
    """The client's id (`OMNILAB_CLIENT_ID`)."""
    client_secret: str
    """Its secret (`OMNILAB_CLIENT_SECRET`). Never in a browser, a kiosk page or an app bundle."""
    client_secret_file: str | os.PathLike[str]
    """A file that holds the secret (`OMNILAB_CLIENT_SECRET_FILE`); read anew for each token request."""
    audience: str
    """The API the tokens are for (`OMNILAB_AUDIENCE`)."""
    base_url: str
    """Where the platform is, without `/v1` (`OMNILAB_BASE_URL`)."""
    token_cache: str | os.PathLike[str]
    """A file that processes of one machine share their token in (`OMNILAB_TOKEN_CACHE`); needs `omnilab[cache]`."""
    timeout_seconds: float
    """How long one attempt may be without a sign of life (default 10); for connecting, 5 at most."""
    total_seconds: float
    """How long one call may take with all its repetitions and pauses (default 30)."""
    allow_http: bool
    """Allow plain `http` beyond this machine's own addresses: secret and tokens can then be read on the way."""
    environ: Mapping[str, str]
    """Read instead of the process's environment."""
    clock: Clock
    """For tests."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What one client works with. `base_url` has no slash at its end."""

    client_id: str
    secret: ClientSecret
    audience: str
    base_url: str
    token_cache: Path | None
    timeout_seconds: float
    total_seconds: float
    clock: Clock


def read_settings(options: Options) -> Settings:
    """Arguments and environment, checked. Raises ConfigurationError, naming everything that is missing."""
    environ = options.get("environ")
    reading = _Reading(options, os.environ if environ is None else environ)
    client_id, audience = reading.text("client_id"), reading.text("audience")
    base_url = reading.text("base_url")
    secret = reading.secret()
    reading.require_all()
    token_cache = reading.text("token_cache", required=False)
    return Settings(
        client_id=client_id,
        secret=secret,
        audience=audience,
        base_url=checked_base_url(base_url, allow_http=options.get("allow_http", False)),
        token_cache=Path(token_cache) if token_cache else None,
        timeout_seconds=_seconds("timeout_seconds", options.get("timeout_seconds", TIMEOUT_SECONDS)),
        total_seconds=_seconds("total_seconds", options.get("total_seconds", TOTAL_SECONDS)),
        clock=options.get("clock") or Clock(),
    )


class _Reading:
    """One pass over both sources. An empty text counts as absent: that is what an unset variable often becomes."""

    def __init__(self, options: Options, environ: Mapping[str, str]) -> None:
        self._given: Mapping[str, object] = options
        self._environ = environ
        self._missing: list[str] = []

    def text(self, name: str, *, required: bool = True) -> str:
        found = self._find(name)
        if not found and required:
            self._missing.append(name)
        if name in ("client_id", "audience") and found and not _VISIBLE.fullmatch(found):
            raise ConfigurationError.of(f"{name} has characters that it cannot have, such as a space or a line break.")
        return found

    def secret(self) -> ClientSecret:
        in_arguments = [name for name in ("client_secret", "client_secret_file") if self._given.get(name)]
        names = in_arguments or [name for name in ("client_secret", "client_secret_file") if self._find(name)]
        if len(names) > 1:
            raise ConfigurationError.of("Give client_secret or client_secret_file, not both.")
        if not names:
            self._missing.append("client_secret")
            return ClientSecret()
        if names[0] == "client_secret":
            text = Hidden(self._find("client_secret"))
            if not is_text(text):
                raise ConfigurationError.of("client_secret has characters that it cannot have, such as a line break.")
            return ClientSecret(text)
        secret = ClientSecret(path=Path(self._find("client_secret_file")))
        secret.read()  # said now, not at the first call
        return secret

    def require_all(self) -> None:
        if not self._missing:
            return
        lines = [f"{name} ({_PREFIX}{name.upper()}{_or_file(name)})" for name in self._missing]
        raise ConfigurationError.of(
            f"Missing: {', '.join(lines)}. Pass the argument, or set the environment variable in brackets.",
            tuple(self._missing),
        )

    def _find(self, name: str) -> str:
        given = self._given.get(name)
        if given:
            if not isinstance(given, str | os.PathLike):
                raise ConfigurationError.of(f"{name} must be a text.")
            return os.fspath(given)
        return self._environ.get(_PREFIX + name.upper(), "").strip()


def _or_file(name: str) -> str:
    return " or …_FILE" if name == "client_secret" else ""


def checked_base_url(text: str, *, allow_http: bool = False) -> str:
    """The URL without a slash at its end. Raises ConfigurationError, saying what is wrong with it.

    >>> checked_base_url("https://acme.api.example.com/")
    'https://acme.api.example.com'
    """
    text = text.strip().rstrip("/")
    parts = _split(text)
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigurationError.of("base_url must be a URL such as https://acme.api.example.com.")
    if "@" in parts.netloc:
        raise ConfigurationError.of("base_url must hold no user or password: URLs end up in logs.")
    if parts.query or parts.fragment:
        raise ConfigurationError.of("base_url must have no query string and no fragment.")
    if re.search(r"/v\d+$", parts.path):
        raise ConfigurationError.of("base_url must stand without /v1: the paths of the calls begin with it.")
    if parts.scheme == "http" and not allow_http and not is_own_machine(parts.hostname):
        raise ConfigurationError.of(
            f"base_url is plain http to {parts.hostname}: the secret and the tokens could be read on the way. "
            "Use https, or allow_http=True where the network itself is safe."
        )
    return text


def is_own_machine(host: str) -> bool:
    """Whether what is sent to this host stays on this machine."""
    return _LOOPBACK.fullmatch(host.lower()) is not None


def _split(text: str) -> SplitResult | None:
    if not _VISIBLE.fullmatch(text):
        return None
    try:
        parts = urlsplit(text)
        _ = parts.port  # a port that is no number shows only when it is asked for
    except ValueError:
        return None
    return parts


def _seconds(name: str, value: float) -> float:
    if not 0 < value <= 3600:
        raise ConfigurationError.of(f"{name} must be more than 0 and at most 3600 seconds.")
    return float(value)
