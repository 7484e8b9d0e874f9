"""Networks that a client may be used from, and addresses as they count."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from omnilab.tenancy.model.rules import RuleError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
ANY = "any"
_MOST_NETWORKS = 100
_WANTED = (
    "An address list holds addresses or networks such as 198.51.100.7, 203.0.113.0/24 or 2001:db8::/48"
    " (no host bits set), or the one word any."
)


def network_list(texts: Iterable[str]) -> str | None:
    """Networks, sorted and each once, as one text; None for `any`. Raises RuleError."""
    given = [text.strip() for text in texts]
    if given == [ANY]:
        return None
    networks = {_network(text) for text in given}
    if not 1 <= len(networks) <= _MOST_NETWORKS:
        raise RuleError("address_invalid", f"An address list holds 1 to {_MOST_NETWORKS} networks.")
    ordered = sorted(networks, key=lambda each: (each.version, int(each.network_address), each.prefixlen))
    return " ".join(str(each) for each in ordered)


def read_networks(text: str | None) -> tuple[Network, ...] | None:
    """What `network_list` made; None where any address will do."""
    return None if text is None else tuple(ipaddress.ip_network(each) for each in text.split())


def is_allowed(address: str, networks: tuple[Network, ...]) -> bool:
    """Whether a caller at this address may come in. An address that cannot be read may not."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(found in network for network in networks if network.version == found.version)


def counted_address(address: str) -> str:
    """What counts as one address: an IPv4 address, or the /64 of an IPv6 one, for its host chooses the rest."""
    if ":" not in address:
        return address
    try:
        return str(ipaddress.ip_network((int(ipaddress.IPv6Address(address)) >> 64 << 64, 64)))
    except ValueError:
        return address


def _network(text: str) -> Network:
    try:
        network = ipaddress.ip_network(text)
    except ValueError:
        raise RuleError("address_invalid", _WANTED) from None
    if isinstance(network, ipaddress.IPv6Network) and network.prefixlen >= 96:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:  # callers' addresses are read as the IPv4 ones they are
            return ipaddress.IPv4Network((int(mapped), network.prefixlen - 96))
    return network
