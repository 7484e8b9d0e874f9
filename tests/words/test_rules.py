"""What names, keys, quotas, durations and networks may look like, at each of their edges."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from omnilab.tenancy.model import rules
from omnilab.tenancy.model.moments import moment_ms, rfc3339
from omnilab.tenancy.model.networks import network_list, read_networks
from omnilab.tenancy.model.nouns import secret_status
from omnilab.tenancy.model.place import Place
from tests.words import agrees, outcome_of

TEXTS: dict[str, tuple[Callable[..., Any], list[str]]] = {
    "tenant_key": (
        rules.tenant_key,
        ["ab", "abc", "a" * 40, "a" * 41, "-ab", "ab-", "a-b", "Abc", "ab--c", "abc--d", "a--b", "www", "docs", "a_b",
         ""],
    ),
    "display_name": (
        rules.display_name, ["", " ", "A", " A ", "a" * 200, "a" * 201, "a\x07", "e\u0301", "Ünï", "a\nb"],
    ),
    "endpoint_name": (
        rules.endpoint_name,
        ["a:b", "bookings:read", "a" * 32 + ":" + "b" * 31, "a" * 32 + ":" + "b" * 32, "A:b", "a:b:c", "ab", ":b",
         "a:"],
    ),
    "quota": (
        rules.quota,
        ["default", "1/second", "600/minute", "0/minute", "999999999/day", "1000000000/day", "5/week", "5", "05/hour"],
    ),
    "duration_seconds": (
        rules.duration_seconds,
        ["1s", "1m", "1h", "1d", " 90d ", "0d", "36500d", "36501d", "999999999s", "1w", "d", "", "3153600000s", "90"],
    ),
    "audience_uri": (
        rules.audience_uri,
        [
            "urn:a", "https://a.example", "https://a.example/b", "https://u@a.example", "https://u:p@a.example/b",
            "https://a.example/u@b", "https://a.example#f", "a", "1a:b", "urn:" + "a" * 251, "urn:" + "a" * 252,
            "mailto:u@a", "https://a/b://c@d", "x:y://u@a/b",
        ],
    ),
    "algorithm": (rules.algorithm, ["ES256", "es256", "rs256", "EDDSA", "none", "HS256", ""]),
    "mail_address": (
        rules.mail_address,
        ["a@b", " a@b ", "a", "@b", "a@", "a b@c", "a@b,c@d", "a" * 64 + "@b", "a" * 65 + "@b", "a@" + "b" * 189,
         "a@" + "b" * 190, "a@b\u200b", "a<b>@c"],
    ),
    "legacy_client_id": (
        rules.legacy_client_id, ["a", "", " a", "a b", "a ", "a" * 255, "a" * 256, "ä", "a\x7f"],
    ),
    "legacy_secret": (
        rules.legacy_secret, ["s", "", "s" * 1024, "s" * 1025, "s\x00", "omni_", "omni_dev_x", "xomni_", "ß"],
    ),
    "moment_ms": (
        moment_ms,
        ["2027-01-31", "2027-01-31T00:00:00Z", "2027-01-31t00:00:00z", "2027-01-31T00:00:00.123+01:00", "2027-13-01",
         "tomorrow", "", "20270131", "2027-01-31T00:00:00"],
    ),
}  # fmt: skip


def test_texts() -> None:
    found = {
        f"{name} {text!r}" if len(text) < 30 else f"{name} of {len(text)} {text[:3]!r}…{text[-3:]!r}": outcome_of(
            lambda rule=rule, text=text: rule(text)
        )
        for name, (rule, texts) in TEXTS.items()
        for text in texts
    }
    found["display name of a tenant"] = outcome_of(lambda: rules.display_name("", what="tenant_name", longest=7))
    found["display name, the longest"] = outcome_of(lambda: rules.display_name("1234567", longest=7))
    found["display name, longer"] = outcome_of(lambda: rules.display_name("12345678", longest=7))
    agrees("texts", found)


def test_figures() -> None:
    lives = {
        f"{value} s": outcome_of(lambda value=value: rules.lifetime_seconds(value)) for value in (0, 1, 86_400, 86_401)
    }
    status = {
        f"expires {expires_at}, revoked {revoked_at}": secret_status(
            expires_at=expires_at, revoked_at=revoked_at, now_ms=10
        )
        for expires_at in (None, 9, 10, 11)
        for revoked_at in (None, 0, 20)
    }
    times = {f"at {value}": rfc3339(value) for value in (None, 0, 1_800_000_000_999)}
    agrees("figures", lives | status | times)


def test_networks() -> None:
    lists = {
        "one": ["192.0.2.0/24"],
        "an address": ["192.0.2.7"],
        "host bits": ["192.0.2.7/24"],
        "both kinds": ["192.0.2.0/24", "2001:db8::/32"],
        "twice": ["192.0.2.0/24", "192.0.2.0/24"],
        "mapped": ["::ffff:192.0.2.0/120"],
        "mapped, all": ["::ffff:0:0/96"],
        "mapped and more": ["::ffff:0:0/95"],
        "IPv6, 96 and not mapped": ["2001:db8::/96"],
        "everything": ["0.0.0.0/0"],
        "none": [],
        "no network": ["example.com"],
        "too long a prefix": ["192.0.2.0/33"],
        "as many as may be": [f"10.0.{number}.0/24" for number in range(100)],
        "one more": [f"10.0.{number}.0/24" for number in range(101)],
    }
    found = {name: outcome_of(lambda texts=texts: network_list(texts)) for name, texts in lists.items()}
    found |= {
        f"read {text!r}": outcome_of(lambda text=text: read_networks(text)) for text in (None, "", "192.0.2.0/24")
    }
    agrees("networks", found)


URIS = (
    "https://acme.api.omni.example/", "HTTPS://ACME.API.OMNI.EXAMPLE", "urn:omnilab:development:acme",
    "urn:omnilab:staging:acme", "https://.api.omni.example", "https://a_b.api.omni.example", "x",
)  # fmt: skip


def test_place() -> None:
    own = Place(environment="staging", issuer="https://m2m.example", tenant_domain="omni.example")
    one = Place(environment="development", issuer="http://127.0.0.1:8080")
    found: dict[str, Any] = {}
    for name, place in (("own hosts", own), ("one host", one)):
        found[name] = [
            place.development, place.base_url("acme"), place.token_url("acme"), place.default_audience("acme"),
            place.hand_off_seconds,
        ]  # fmt: skip
        found |= {f"{name}: {uri}": place.owner_of_audience(uri) for uri in URIS}
    agrees("place", found)
