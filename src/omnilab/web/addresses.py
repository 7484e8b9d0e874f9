"""Whose address counts: the peer's, or what trusted proxies say about it.

Promises that `X-Forwarded-For` and `X-Forwarded-Proto` count only when the peer is a trusted proxy, that the
right-most hop that is no trusted proxy is the caller, and that an IPv6 caller counts by its /64. Knows no
settings but the networks it is given.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from omnilab.web.exchange import Exchange

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_CACHED_ADDRESSES = 8192


class Address(NamedTuple):
    """`full` is written to audit; `group` is what counts together: an IPv4 address, or an IPv6 /64."""

    full: str
    group: str
    trusted: bool


class AddressRules:
    """Reads the caller's address from the connection and, behind trusted proxies, from the headers."""

    __slots__ = ("_networks", "_read")

    def __init__(self, trusted_proxies: Sequence[Network] = ()) -> None:
        self._networks = tuple(trusted_proxies)
        # Few addresses make most requests, and parsing one costs as much as the rest of the routing together.
        self._read = lru_cache(_CACHED_ADDRESSES)(self._read_address)

    def apply(self, exchange: Exchange) -> None:
        """Set `address`, `address_group` and `scheme` of the exchange."""
        peer = exchange.scope.get("client")
        # A Unix socket has no peer address; nothing can be counted by it.
        found = self._read(peer[0] if peer else "") or Address("", "", False)
        if found.trusted:
            found = self._forwarded(exchange, found)
            self._forwarded_scheme(exchange)
        exchange.address = found.full
        exchange.address_group = found.group

    def _forwarded(self, exchange: Exchange, peer: Address) -> Address:
        """Walk from the right while the hops are our proxies; what stands left of the first stranger is hearsay."""
        hops = b",".join(exchange.headers(b"x-forwarded-for")).decode("latin-1").split(",")
        nearest = peer
        for hop in reversed(hops):
            found = self._read(_without_port(hop.strip()))
            if found is None:
                return nearest
            nearest = found
            if not found.trusted:
                return nearest
        return nearest

    def _forwarded_scheme(self, exchange: Exchange) -> None:
        values = exchange.headers(b"x-forwarded-proto")
        scheme = values[-1].rsplit(b",", 1)[-1].strip().lower() if values else b""
        if scheme in (b"http", b"https"):
            exchange.scheme = scheme.decode()

    def _read_address(self, text: str) -> Address | None:
        try:
            address = ipaddress.ip_address(text.partition("%")[0])
        except ValueError:
            return None
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        trusted = any(address in network for network in self._networks if network.version == address.version)
        if address.version == 4:
            return Address(str(address), str(address), trusted)
        group = ipaddress.ip_network((int(address) >> 64 << 64, 64))
        return Address(str(address), str(group), trusted)


def _without_port(hop: str) -> str:
    """Some proxies write `203.0.113.7:4711` or `[2001:db8::1]:4711`."""
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop
