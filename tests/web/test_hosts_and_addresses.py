"""Whose host, whose address: nothing a stranger writes into a header is believed."""

from __future__ import annotations

import pytest

from omnilab.errors import RequestError
from omnilab.web.hosts import HostRules
from tests.web.driver import World, operation


def rules(environment: str = "production", domain: str | None = "omni.example") -> HostRules:
    return HostRules(environment=environment, public_url="https://Login.omni.example:8443", tenant_domain=domain)


@pytest.mark.parametrize(
    ("host", "tenant"),
    [
        (b"login.omni.example", None),
        (b"LOGIN.omni.example:8443", None),
        (b"login.omni.example.", None),
        (b"acme.api.omni.example", "acme"),
        (b"Acme.API.omni.example:443", "acme"),
        (b"no-such-tenant.api.omni.example", "no-such-tenant"),
    ],
)
def test_known_hosts(host: bytes, tenant: str | None) -> None:
    judged = rules()
    assert judged.tenant_of(host) == tenant
    assert judged.tenant_of(host) == tenant


@pytest.mark.parametrize(
    "host",
    [
        None,
        b"",
        b"omni.example",
        b"a.b.api.omni.example",
        b"-a.api.omni.example",
        b"ab.api.omni.example",
        b"acme.api.omni.example.evil.example",
        b"evil-login.omni.example",
        b"[::1]:8080",
        b"10.0.0.1",
        b"\xff\x00",
    ],
)
def test_unknown_hosts(host: bytes | None) -> None:
    with pytest.raises(RequestError) as refused:
        rules().tenant_of(host)
    assert refused.value.code == "host_unknown"
    assert rules("development").tenant_of(host) is None


def test_invented_hosts_fill_no_memory() -> None:
    judged = rules()
    for number in range(25_000):
        judged.tenant_of(b"t%d-x.api.omni.example" % number)
    assert len(judged._known) <= 10_000


@pytest.mark.parametrize(
    ("peer", "forwarded", "address", "group"),
    [
        ("203.0.113.9", ["198.51.100.1"], "203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", [], "10.0.0.1", "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", ["6.6.6.6, 198.51.100.1"], "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", ["6.6.6.6", "198.51.100.1, 10.0.0.2"], "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", ["198.51.100.1:4711"], "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", ["[2001:db8:1:2:3::4]:4711"], "2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("10.0.0.1", ["6.6.6.6, unknown"], "10.0.0.1", "10.0.0.1"),
        ("10.0.0.1", ["6.6.6.6, nonsense, 10.0.0.3"], "10.0.0.3", "10.0.0.3"),
        ("10.0.0.1", ["10.0.0.5, 10.0.0.4"], "10.0.0.5", "10.0.0.5"),
        ("::ffff:10.0.0.1", ["198.51.100.1"], "198.51.100.1", "198.51.100.1"),
        ("2001:db8:aaaa:bbbb::1", ["198.51.100.1"], "2001:db8:aaaa:bbbb::1", "2001:db8:aaaa:bbbb::/64"),
        ("fe80::1%eth0", [], "fe80::1", "fe80::/64"),
    ],
)
def test_addresses(peer: str, forwarded: list[str], address: str, group: str) -> None:
    world = World([operation()], trusted_proxies=("10.0.0.0/8", "fd00::/8"))
    headers = [("X-Forwarded-For", value) for value in forwarded]
    assert world.send("GET", "/v1/things:list", headers=headers, peer=peer).status == 200
    exchange = world.seen.exchanges[0]
    assert (exchange.address, exchange.address_group) == (address, group)


def test_a_forwarded_scheme_counts_from_trusted_proxies_only() -> None:
    world = World([operation()], trusted_proxies=("10.0.0.0/8",))
    headers = [("X-Forwarded-Proto", "gopher, https")]
    for peer in ("10.0.0.1", "203.0.113.9"):
        world.send("GET", "/v1/things:list", headers=headers, peer=peer)
    assert [exchange.scheme for exchange in world.seen.exchanges] == ["https", "http"]


def test_a_forwarded_host_never_counts() -> None:
    world = World([operation()], trusted_proxies=("10.0.0.0/8",))
    world.send("GET", "/v1/things:list", headers=[("X-Forwarded-Host", "acme.api.omni.example")], peer="10.0.0.1")
    assert world.seen.exchanges[0].host_tenant is None
