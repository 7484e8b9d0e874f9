"""The closed order of checks after the secret has proved right."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnilab.crypto.client_secret import new_client_secret
from omnilab.crypto.secret import Secret
from omnilab.errors import TokenRefusedError
from omnilab.tenancy.model.networks import Network
from omnilab.tokens.model.decision import Right, decide_right, decide_standing
from omnilab.tokens.model.request import Presented, TokenRequest
from omnilab.tokens.model.secret_text import check_secret_text

NOW_MS = 1_800_000_000_000
BOOKINGS = frozenset({"bookings:read", "bookings:cancel", "bookings:create"})


@dataclass(frozen=True)
class Audience:
    audience: str
    algorithm: str = "ES256"
    lifetime_seconds: int = 3600
    endpoints: frozenset[str] = BOOKINGS


@dataclass(frozen=True)
class Tenant:
    tenant_id: str = "ten_1"
    tenant: str = "acme"
    active: bool = True


@dataclass(frozen=True)
class ClientSecret:
    secret_id: str = "sec_1"
    label: str | None = None
    expires_at: int | None = None
    revoked_at: int | None = None


@dataclass(frozen=True)
class Client:
    client_id: str = "cli_1"
    active: bool = True
    tenant: Tenant = field(default_factory=Tenant)
    audiences: dict[str, Audience] = field(default_factory=lambda: {"urn:a": Audience("urn:a")})
    allowed: frozenset[str] = frozenset({"bookings:read", "bookings:cancel"})
    token_networks: tuple[Network, ...] | None = None


def request(**changes: object) -> TokenRequest:
    plain: dict[str, object] = {
        "request_id": "id",
        "address": "192.0.2.1",
        "address_group": "192.0.2.1",
        "host_tenant": None,
        "presented": (Presented("cli_1", Secret("s")),),
        "audience": "urn:a",
        "audience_optional": False,
        "scope": "",
    }
    return TokenRequest(**(plain | changes))  # type: ignore[arg-type]


def refusal_of_standing(client: Client, secret: ClientSecret, host_tenant: str | None = None) -> TokenRefusedError:
    with pytest.raises(TokenRefusedError) as caught:
        decide_standing(
            request(host_tenant=host_tenant),
            client,
            secret,
            now_ms=NOW_MS,
            token_url_of=lambda tenant: f"https://{tenant}.example/t",
        )
    return caught.value


def refusal_of_right(client: Client, **changes: object) -> TokenRefusedError:
    with pytest.raises(TokenRefusedError) as caught:
        decide_right(request(**changes), client)
    return caught.value


def test_a_right_secret_on_its_own_host_stands() -> None:
    for host_tenant in (None, "acme"):
        decide_standing(request(host_tenant=host_tenant), Client(), ClientSecret(), now_ms=NOW_MS, token_url_of=str)


def test_another_tenants_host_is_told_the_right_url() -> None:
    error = refusal_of_standing(Client(), ClientSecret(), host_tenant="other")
    assert error.code == "tenant_host_mismatch"
    assert "https://acme.example/t" in error.detail


def test_a_secret_is_expired_at_the_very_millisecond() -> None:
    error = refusal_of_standing(Client(), ClientSecret(label="blue", expires_at=NOW_MS))
    assert (error.code, error.check) == ("secret_expired", "secret_expiry")
    assert "label blue" in error.detail
    assert "2027-01-15T08:00:00Z" in error.detail
    decide_standing(request(), Client(), ClientSecret(expires_at=NOW_MS + 1), now_ms=NOW_MS, token_url_of=str)


def test_a_revoked_secret_says_when_and_which() -> None:
    error = refusal_of_standing(Client(), ClientSecret(label="blue", revoked_at=NOW_MS - 1000))
    assert (error.code, error.check) == ("secret_revoked", "secret_revocation")
    assert "sec_1 (label blue)" in error.detail
    assert "2027-01-15T07:59:59Z" in error.detail


def test_disabled_client_and_suspended_tenant() -> None:
    assert refusal_of_standing(Client(active=False), ClientSecret()).code == "client_disabled"
    assert refusal_of_standing(Client(tenant=Tenant(active=False)), ClientSecret()).code == "tenant_suspended"


def test_the_order_is_closed() -> None:
    """With everything wrong at once, the first of the order is told; each cure uncovers the next."""
    client = Client(active=False, tenant=Tenant(active=False))
    secret = ClientSecret(expires_at=1, revoked_at=1)
    assert refusal_of_standing(client, secret, "other").code == "tenant_host_mismatch"
    assert refusal_of_standing(client, secret).code == "secret_expired"
    secret = replace(secret, expires_at=None)
    assert refusal_of_standing(client, secret).code == "secret_revoked"
    secret = replace(secret, revoked_at=None)
    assert refusal_of_standing(client, secret).code == "client_disabled"
    assert refusal_of_standing(replace(client, active=True), secret).code == "tenant_suspended"


def test_unasked_the_token_carries_all_that_is_granted_for_its_audience() -> None:
    audiences = {"urn:a": Audience("urn:a", endpoints=frozenset({"bookings:read"})), "urn:b": Audience("urn:b")}
    client = Client(audiences=audiences, allowed=frozenset({"bookings:read", "loyalty:read"}))
    assert decide_right(request(), client) == Right(audiences["urn:a"], "bookings:read", asked=False)


def test_a_client_without_grants_gets_an_empty_scope() -> None:
    assert decide_right(request(), Client(allowed=frozenset())).scope == ""


@given(st.sets(st.sampled_from(sorted(BOOKINGS)), min_size=1), st.sets(st.sampled_from(sorted(BOOKINGS))))
def test_scope_narrows_and_never_widens(asked: set[str], allowed: set[str]) -> None:
    client = Client(allowed=frozenset(allowed))
    if asked <= allowed:
        right = decide_right(request(scope=" ".join(asked)), client)
        assert (set(right.scope.split()), right.asked) == (asked, True)
    else:
        error = refusal_of_right(client, scope=" ".join(asked))
        assert (error.code, error.check) == ("scope_not_granted", "scope")


@pytest.mark.parametrize("scope", [" ", "bookings:read ", "BOOKINGS:READ", "bookings:*", "openid"])
def test_a_scope_that_is_not_one_of_the_granted_names_is_refused(scope: str) -> None:
    assert refusal_of_right(Client(), scope=scope).code == "scope_not_granted"


def test_unknown_audiences_are_all_alike_and_the_holder_is_told_its_own() -> None:
    for audience in ("urn:b", "urn:A", "urn:a/", " urn:a"):
        error = refusal_of_right(Client(), audience=audience)
        assert error.code == "audience_unknown"
        assert "urn:a" in error.detail


def test_the_only_audience_may_be_left_out_where_that_is_allowed() -> None:
    assert decide_right(request(audience="", audience_optional=True), Client()).audience.audience == "urn:a"
    assert refusal_of_right(Client(), audience="").code == "audience_missing"
    two = {name: Audience(name) for name in ("urn:a", "urn:b")}
    assert refusal_of_right(Client(audiences=two), audience="", audience_optional=True).code == "audience_missing"
    assert refusal_of_right(Client(audiences={}), audience="", audience_optional=True).code == "audience_missing"


def text_refusal(secret: str, environment: str = "development") -> str:
    with pytest.raises(TokenRefusedError) as caught:
        check_secret_text(request(presented=(Presented("cli_1", Secret(secret)),)), environment)
    error = caught.value
    assert secret not in f"{error.detail} {error.reason} {error.expected} {error.found}"
    return error.code


def test_what_the_text_of_a_secret_tells() -> None:
    secret = new_client_secret("development").reveal()
    other = "0" if secret[20] != "0" else "1"
    assert text_refusal(secret[:20] + other + secret[21:]) == "secret_mistyped"
    assert text_refusal(secret + "\n") == "secret_mistyped"
    assert text_refusal(secret[:-3]) == "secret_cut_off"
    assert text_refusal("omni_") == "secret_cut_off"
    assert text_refusal(secret, "production") == "secret_wrong_environment"


def test_a_whole_secret_and_an_earlier_systems_pass() -> None:
    for secret in (new_client_secret("development").reveal(), "an earlier system's"):
        check_secret_text(request(presented=(Presented("cli_1", Secret(secret)),)), "development")
