"""Decisions about tokens, keys, links and expiry, at each of their edges."""

from __future__ import annotations

import ipaddress
from dataclasses import replace
from typing import Any

from omnilab.crypto.client_secret import checksum
from omnilab.crypto.secret import Secret
from omnilab.tenancy.model import expiry, hand_off
from omnilab.tenancy.model.expiry import DAY_MS, ExpiringSecret
from omnilab.tenancy.model.hand_off import HandOff, decide_opening
from omnilab.tokens.model import keys as signing_keys
from omnilab.tokens.model.decision import Right, decide_right, decide_standing, utc
from omnilab.tokens.model.keys import SigningKey
from omnilab.tokens.model.request import Presented
from omnilab.tokens.model.secret_text import check_secret_text
from tests.tokens.test_decision import NOW_MS, Audience, Client, ClientSecret, Tenant, request
from tests.words import agrees, outcome_of


def test_standing() -> None:
    network = (ipaddress.ip_network("198.51.100.0/24"), ipaddress.ip_network("2001:db8::/32"))
    good, labelled = ClientSecret(), ClientSecret(label="blue")
    cases: dict[str, tuple[Client, ClientSecret, dict[str, Any]]] = {
        "right": (Client(), good, {}),
        "own host": (Client(), good, {"host_tenant": "acme"}),
        "another tenant's host": (Client(), good, {"host_tenant": "globex"}),
        "suspended": (Client(tenant=Tenant(active=False)), good, {}),
        "disabled": (Client(active=False), good, {}),
        "suspended and disabled": (Client(active=False, tenant=Tenant(active=False)), good, {}),
        "revoked": (Client(), replace(labelled, revoked_at=NOW_MS - 1500), {}),
        "revoked, no label": (Client(), replace(good, revoked_at=0), {}),
        "expired just now": (Client(), replace(labelled, expires_at=NOW_MS), {}),
        "expires in a moment": (Client(), replace(good, expires_at=NOW_MS + 1), {}),
        "expired long ago": (Client(), replace(good, expires_at=1), {}),
        "revoked and expired": (Client(), replace(good, revoked_at=5, expires_at=1), {}),
        "agreed address": (Client(token_networks=network), good, {"address": "198.51.100.7"}),
        "agreed address of the other kind": (Client(token_networks=network), good, {"address": "2001:db8::7"}),
        "another address": (Client(token_networks=network), good, {"address": "192.0.2.1"}),
        "no address": (Client(token_networks=network), good, {"address": ""}),
    }
    agrees(
        "standing",
        {
            name: outcome_of(
                lambda client=client, secret=secret, changes=changes: decide_standing(
                    request(**changes), client, secret, now_ms=NOW_MS, token_url_of=lambda tenant: f"https://{tenant}"
                )
            )
            for name, (client, secret, changes) in cases.items()
        },
    )


def shown(right: Right) -> str:
    return f"{right.audience.audience}: {right.scope}, asked {right.asked}"


def test_right() -> None:
    two = {"urn:a": Audience("urn:a"), "urn:b": Audience("urn:b", endpoints=frozenset({"reports:read"}))}
    cases: dict[str, tuple[Client, dict[str, Any]]] = {
        "all": (Client(), {}),
        "a part": (Client(), {"scope": "bookings:read"}),
        "in another order": (Client(), {"scope": "bookings:read bookings:cancel"}),
        "more": (Client(), {"scope": "bookings:read bookings:create admin:all"}),
        "more than nothing": (Client(allowed=frozenset()), {"scope": "bookings:read"}),
        "another audience's": (Client(audiences=two), {"scope": "reports:read"}),
        "unknown audience": (Client(audiences=two), {"audience": "urn:c"}),
        "unknown, of a client without": (Client(audiences={}), {"audience": "urn:c"}),
        "none named": (Client(audiences=two), {"audience": "", "audience_optional": True}),
        "none named, one there": (Client(), {"audience": "", "audience_optional": True}),
        "none named, and it had to be": (Client(), {"audience": ""}),
        "none named, none there": (Client(audiences={}), {"audience": "", "audience_optional": True}),
    }
    agrees(
        "right",
        {
            name: outcome_of(lambda client=client, changes=changes: shown(decide_right(request(**changes), client)))
            for name, (client, changes) in cases.items()
        }
        | {"time": utc(NOW_MS + 999)},
    )


def test_secret_text() -> None:
    head, other = "omni_dev_" + "A" * 43, "omni_prd_" + "A" * 43
    texts = {
        "right": head + checksum(head),
        "earlier system": "whatever",
        "cut off": head,
        "cut off at its head": "omni_de",
        "mistyped": head + "000000",
        "too long": head + checksum(head) + "x",
        "another environment": other + checksum(other),
    }
    agrees(
        "secret_text",
        {
            name: outcome_of(
                lambda text=text: check_secret_text(
                    request(presented=(Presented("cli_1", Secret(text)),)), "development"
                )
            )
            for name, text in texts.items()
        },
    )


def test_links() -> None:
    link = HandOff("ten_1", "hnd_1", "cli_1", b"right", "blue", None, 1_000, NOW_MS + 1)
    cases: dict[str, tuple[HandOff | None, bytes]] = {
        "right": (link, b"right"),
        "unknown": (None, b"right"),
        "another claim": (link, b"wrong"),
        "opened": (replace(link, opened_at=NOW_MS - 5_000, secret_id="sec_2"), b"right"),
        "opened, another claim": (replace(link, opened_at=NOW_MS - 5_000), b"wrong"),
        "ends now": (replace(link, expires_at=NOW_MS), b"right"),
        "opened and ended": (replace(link, opened_at=2_000, expires_at=3_000), b"right"),
    }
    found = {
        name: outcome_of(
            lambda link=link, claim=claim: decide_opening(link, claim, tenant="acme", now_ms=NOW_MS).hand_off_id
        )
        for name, (link, claim) in cases.items()
    }
    agrees("links", found)
    assert hand_off.HandOff.__slots__  # a link keeps no place for a claim


def test_expiry() -> None:
    secret = ExpiringSecret(
        "ten_1", "acme", "cli_1", "Backend", "ops@acme.example", "sec_1", "blue", NOW_MS, None, None, successor=False
    )
    edges = [0, 1, DAY_MS - 1, DAY_MS, DAY_MS + 1, 7 * DAY_MS, 7 * DAY_MS + 1, 30 * DAY_MS, 30 * DAY_MS + 1, -1]
    warned = (None, 30, 7, 1)
    found: dict[str, Any] = {f"{left} ms left": secret.days_left(NOW_MS - left) for left in edges}
    found |= {
        f"{left} ms left, warned {days}": expiry.warning_due(NOW_MS, days, NOW_MS - left)
        for left in edges
        for days in warned
    }
    found["mail"] = expiry.expiry_mail(secret, "production")
    found["mail with a successor, no label"] = expiry.expiry_mail(
        replace(secret, label=None, successor=True), "production"
    )
    found["leak"] = expiry.compromised_mail(
        client="Backend", client_id="cli_1", secret_id="sec_1", revoked_at=NOW_MS, environment="production"
    )
    agrees("expiry", found)


def key(algorithm: str, status: str, **times: int) -> SigningKey:
    return SigningKey(
        key_id=f"key_{algorithm}_{status}", algorithm=algorithm, status=status, public_jwk='{"kty":"OKP"}',
        **({"created_at": 0} | times),
    )  # fmt: skip


def test_rotation_of_keys() -> None:
    day = 86_400_000
    three = ("ES256", "RS256", "EdDSA")

    def estate(activated: int, published: int) -> list[SigningKey]:
        current = [key(each, "current", activated_at=activated if each == "RS256" else activated + 5) for each in three]
        return current + [
            key(each, "next", created_at=published if each == "EdDSA" else published - 5) for each in three
        ]

    due = {
        f"activated {activated}, published {published}": signing_keys.rotation_is_due(
            estate(activated, published), now_ms=100 * day, every_days=90
        )
        for activated in (10 * day - 1, 10 * day, 10 * day + 1)
        for published in (99 * day - 1, 99 * day, 99 * day + 1)
    }
    due["never activated, made long ago"] = signing_keys.rotation_is_due(
        [key(each, status) for each in three for status in ("current", "next")], now_ms=100 * day, every_days=90
    )
    due["none"] = signing_keys.rotation_is_due([], now_ms=100 * day, every_days=90)
    due["one missing"] = signing_keys.rotation_is_due(estate(0, 0)[1:], now_ms=100 * day, every_days=90)
    early = {
        f"{age} ms old, at once {at_once}": outcome_of(
            lambda age=age, at_once=at_once: signing_keys.decide_rotation(
                estate(0, 1_000_000), now_ms=1_000_000 + age, at_once=at_once
            )
        )
        for age in (0, 1, 298_999, 299_000, 299_001, 299_999, 300_000, 300_001)
        for at_once in (False, True)
    }
    early["missing"] = outcome_of(lambda: signing_keys.decide_rotation([], now_ms=0, at_once=True))
    gone = key("ES256", "retired", created_at=5, retired_at=1_000)
    never = key("ES256", "retired", created_at=5)
    shown = {
        f"{each.status} {each.retired_at} at {at}": signing_keys.is_published(each, at)
        for each in (gone, never, key("ES256", "next"), key("ES256", "current"), key("ES256", "revoked"))
        for at in (0, 86_460_004, 86_460_005, 86_460_999, 86_461_000, 86_461_001)
    }
    listed = {"jwks": str(signing_keys.jwks([gone, key("ES256", "next"), key("RS256", "revoked")], 2_000))}
    agrees("rotation_of_keys", due | early | shown | listed)
