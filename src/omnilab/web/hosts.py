"""Which host a request was sent to: the platform's, a tenant's, or one that is not served here.

Promises that outside development only known forms of host are answered, so that a proxy that replaces the `Host`
header is noticed at once and in words. Does not know which tenants exist: an unknown tenant's host is a tenant's
host here, and then answers as a known one does to an unknown client.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from omnilab.errors import RequestError

# A tenant key is a DNS label of 3 to 40 characters.
_TENANT_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{1,38})[a-z0-9]")
_CACHED_HOSTS = 10_000


class HostRules:
    """Judges `Host` headers. Ports are ignored: behind a proxy they are the proxy's affair."""

    __slots__ = ("_any_host_is_public", "_known", "_public_host", "_tenant_suffix")

    def __init__(self, *, environment: str, public_url: str, tenant_domain: str | None) -> None:
        self._any_host_is_public = environment == "development"
        self._public_host = (urlsplit(public_url).hostname or "").rstrip(".")
        self._tenant_suffix = f".api.{tenant_domain.lower().rstrip('.')}" if tenant_domain else None
        self._known: dict[bytes, str | None] = {}

    def tenant_of(self, host: bytes | None) -> str | None:
        """The tenant key of a tenant's host; None for the platform's own.

        Raises RequestError `host_unknown` for any other host, in staging and production.
        """
        if host is None:
            return self._judge("")
        try:
            return self._known[host]
        except KeyError:
            tenant = self._judge(_host_name(host), sent=host.decode("latin-1"))
        if len(self._known) >= _CACHED_HOSTS:  # whoever invents hosts gets a slower answer, not our memory
            self._known.clear()
        self._known[host] = tenant
        return tenant

    def _judge(self, name: str, *, sent: str = "") -> str | None:
        if name == self._public_host:
            return None
        if self._tenant_suffix is not None and name.endswith(self._tenant_suffix):
            label = name[: -len(self._tenant_suffix)]
            if _TENANT_LABEL.fullmatch(label):
                return label
        if self._any_host_is_public:
            return None
        raise RequestError(
            "host_unknown",
            "This host is not served here. Behind a proxy, pass the caller's host on; in nginx: "
            "proxy_set_header Host $host",
            check="host",
            expected=f"{self._public_host} or a tenant's host",
            found=sent or "no Host header",  # as it was sent: in lower case a random text is hard to tell
        )


def _host_name(host: bytes) -> str:
    name = host.decode("latin-1").strip().lower()
    if name.startswith("["):
        return name[1:].partition("]")[0]
    return name.partition(":")[0].rstrip(".")
