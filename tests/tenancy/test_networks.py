"""Address lists: what may stand in them, and who is let in."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnilab.tenancy.model.networks import counted_address, is_allowed, network_list, read_networks
from omnilab.tenancy.model.rules import RuleError


def test_a_list_is_sorted_and_each_network_stands_once() -> None:
    assert network_list(["2001:db8::/48", "203.0.113.0/24", "198.51.100.7", " 203.0.113.0/24"]) == (
        "198.51.100.7/32 203.0.113.0/24 2001:db8::/48"
    )
    assert network_list(["::ffff:203.0.113.0/120"]) == "203.0.113.0/24"
    assert network_list(["any"]) is None


@pytest.mark.parametrize("text", ["", "203.0.113.1/24", "example.com", "10.0.0.0/33", "10.0.0", "fe80::1%eth0/64"])
def test_what_is_no_network_is_refused_without_quoting_it(text: str) -> None:
    with pytest.raises(RuleError) as caught:
        network_list([text])
    assert caught.value.code == "address_invalid"
    assert not text or text not in caught.value.detail


def test_any_stands_alone_and_a_list_is_bounded() -> None:
    for bad in (["any", "203.0.113.0/24"], [], [f"10.0.{number}.0/24" for number in range(101)]):
        with pytest.raises(RuleError):
            network_list(bad)


addresses = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6))


@given(addresses, addresses, st.integers(0, 128))
def test_whoever_is_in_a_network_is_let_in_and_nobody_else(
    caller: ipaddress.IPv4Address, other: ipaddress.IPv4Address, width: int
) -> None:
    network = ipaddress.ip_network(f"{other}/{min(width, other.max_prefixlen)}", strict=False)
    networks = read_networks(network_list([str(network)]))
    assert networks is not None
    mapped = getattr(network.network_address, "ipv4_mapped", None)
    assert is_allowed(str(other), networks) or mapped is not None
    if mapped is None:
        assert is_allowed(str(caller), networks) == (caller.version == network.version and caller in network)


def test_an_address_that_cannot_be_read_is_not_let_in() -> None:
    networks = read_networks("0.0.0.0/0 ::/0")
    assert networks is not None
    assert not is_allowed("", networks)
    assert not is_allowed("unix", networks)


def test_an_ipv6_host_counts_as_its_network() -> None:
    assert counted_address("2001:db8::1") == counted_address("2001:db8::ffff") == "2001:db8::/64"
    assert counted_address("192.0.2.1") == "192.0.2.1"
    assert counted_address("::bad::") == "::bad::"
