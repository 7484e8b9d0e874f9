"""How the text of one setting is read. Each reader returns the value or raises ValueError in words without the text."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from urllib.parse import urlsplit

from omnilab.settings.tree import Network

ENVIRONMENTS = ("development", "staging", "production")
LOG_LEVELS = ("debug", "info", "warning", "error")
LOG_FORMATS = ("auto", "json", "text")

_HOST_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*")
_QUOTA = re.compile(r"[1-9][0-9]{0,8}/(second|minute|hour|day)")


def one_of(choices: tuple[str, ...]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return text

    return parse


def _number(low: int, high: int, *, may_be_off: bool = False) -> Callable[[str], int | None]:
    def parse(text: str) -> int | None:
        if may_be_off and text == "off":
            return None
        if not re.fullmatch(r"[0-9]{1,12}", text) or not low <= int(text) <= high:
            raise ValueError(f"must be a number from {low} to {high}" + (" or off" if may_be_off else ""))
        return int(text)

    return parse


def _share(text: str) -> float:
    if not re.fullmatch(r"(0|1)(\.[0-9]{1,6})?", text) or float(text) > 1:
        raise ValueError("must be a share from 0 to 1, such as 0.05")
    return float(text)


def _switch(text: str) -> bool:
    if text not in ("on", "off"):
        raise ValueError("must be on or off")
    return text == "on"


def _quota(text: str) -> str | None:
    if text == "off":
        return None
    if not _QUOTA.fullmatch(text):
        raise ValueError("must be like 600/minute (second, minute, hour or day) or off")
    return text


def url(text: str) -> str:
    """An absolute http(s) URL without user, query and fragment; a trailing slash is dropped."""
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018 - raises ValueError for a bad port
    except ValueError:
        raise ValueError("is not a URL") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or not text.isascii():
        raise ValueError("must be an absolute http or https URL")
    if parts.username is not None or parts.query or parts.fragment or re.search(r"[\s?#@]", text):
        raise ValueError("must have no user, query or fragment")
    return text.rstrip("/")


def origin(text: str) -> str:
    address = url(text)
    if urlsplit(address).path:
        raise ValueError("must have no path: scheme, host and port only")
    return address.lower()


def _domain(text: str) -> str:
    if not _HOST_NAME.fullmatch(text.lower()):
        raise ValueError("must be a bare domain such as example.com, without scheme, port or path")
    return text.lower()


def database_url(text: str) -> str:
    if text.startswith("sqlite:///") and len(text) > len("sqlite:///"):
        return text
    if text.startswith(("postgresql://", "postgres://")):
        return text
    raise ValueError("must be sqlite:///path/to/file.db or postgresql://user@host/database")


def _replica_url(text: str) -> str:
    if not text.startswith(("postgresql://", "postgres://")):
        raise ValueError("must be postgresql://user@host/database or off")
    return text


def _redis_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018 - raises ValueError for a bad port
    except ValueError:
        raise ValueError("is not a URL") from None
    if parts.scheme not in ("redis", "rediss") or not parts.hostname:
        raise ValueError("must be like redis://host:6379/0 (rediss:// with TLS) or off")
    return text


def _networks(text: str) -> tuple[Network, ...]:
    networks: list[Network] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        try:
            networks.append(ipaddress.ip_network(part))
        except ValueError:
            raise ValueError("must be networks such as 10.0.0.0/8, separated by commas (no host bits set)") from None
    return tuple(networks)


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise ValueError("must be an IP address") from None


def _or_off(parse: Callable[[str], str]) -> Callable[[str], str | None]:
    return lambda text: None if text == "off" else parse(text)


def _message(text: str) -> str:
    if len(text) > 300 or not text.isprintable():
        raise ValueError("must be one line of at most 300 printable characters")
    return text


def _contact(text: str) -> str:
    """A `Contact` of security.txt (RFC 9116 §2.5.3)."""
    if re.fullmatch(r"mailto:[A-Za-z0-9.+_-]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+", text):
        return text
    if text.startswith("https://"):
        return url(text)
    raise ValueError("must be like mailto:security@example.com or an https URL")


READERS: dict[str, Callable[[str], object]] = {
    "tenant_domain": _domain,
    "trusted_proxies": _networks,
    "docs_banner_text": _or_off(_message),
    "docs_banner_url": _or_off(url),
    "status_page_url": _or_off(url),
    "security_contact": _or_off(_contact),
    "snapshot_max_clients": _number(0, 100_000_000),
    "failed_authentications_per_client_per_minute": _number(1, 1_000_000, may_be_off=True),
    "failed_authentications_per_address_per_minute": _number(1, 1_000_000, may_be_off=True),
    "client_token_quota": _quota,
    "client_api_quota": _quota,
    "tenant_token_quota": _quota,
    "tenant_api_quota": _quota,
    "replica_url": _or_off(_replica_url),
    "redis_url": _or_off(_redis_url),
    "audit_retention_days": _number(1, 36_500, may_be_off=True),
    "key_rotation_days": _number(1, 3650, may_be_off=True),
    "secret_max_age_days": _number(1, 3650, may_be_off=True),
    "hand_off_hours": _number(1, 720),
    "metrics_port": _number(1, 65535, may_be_off=True),
    "metrics_host": _address,
    "traces_url": _or_off(url),
    "traces_ratio": _share,
    "drain_seconds": _number(1, 3600),
    "access_log": _switch,
    "log_level": one_of(LOG_LEVELS),
    "log_format": one_of(LOG_FORMATS),
}
