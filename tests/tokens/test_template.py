"""What is kept between tokens: bounded, exact, and without a secret."""

from __future__ import annotations

import msgspec

from omnilab.audit.model import decode, encode, escaped
from omnilab.crypto.secret import Secret
from omnilab.tenancy.snapshot import AudienceEntry, ClientEntry, TenantEntry
from omnilab.tokens.model.decision import Right, decide_right
from omnilab.tokens.model.request import Presented, TokenRequest
from omnilab.tokens.service.issuing import Issuer
from omnilab.tokens.service.template import TokenTemplates

AUDIENCE = AudienceEntry("urn:a", algorithm="ES256", lifetime_seconds=900, endpoints=frozenset({"bookings:read"}))
# Everything that a naive format text or a naive placeholder would stumble over.
AWKWARD = 'cli %(at)d %s \\u0001 "\\u0002" {x}'


def entry(client_id: str = AWKWARD) -> ClientEntry:
    tenant = TenantEntry()
    tenant.tenant_id, tenant.tenant, tenant.memo = "ten_1", "acme", {}
    client = ClientEntry()
    client.client_id, client.tenant, client.memo = client_id, tenant, {}
    client.audiences, client.allowed = {"urn:a": AUDIENCE}, frozenset({"bookings:read"})
    return client


def request(scope: str = "") -> TokenRequest:
    return TokenRequest(
        request_id="0190d8f0-0000-7000-8000-000000000001",
        address="2001:db8::1",
        address_group="2001:db8::/64",
        host_tenant=None,
        presented=(Presented("cli_1", Secret("s3cret")),),
        audience="urn:a",
        audience_optional=False,
        scope=scope,
    )


def test_the_record_from_the_template_is_the_record() -> None:
    client = entry()
    template = TokenTemplates("https://id.example").make(client.tenant, decide_right(request(), client))
    body = template.audit_body(request(), 1_800_000_000_123, escaped(AWKWARD), "sec_1")
    record = decode(body)
    assert body == encode(record)
    assert (record.client_id, record.secret_id, record.tenant_id) == (AWKWARD, "sec_1", "ten_1")
    assert (record.request_id, record.address) == (request().request_id, "2001:db8::1")
    assert (record.occurred_at, record.outcome) == (1_800_000_000_123, "granted")


def test_the_answer_has_three_fields_and_scope_only_where_asked() -> None:
    client = entry()
    templates = TokenTemplates("https://id.example")
    for scope in ("", "bookings:read"):
        template = templates.make(client.tenant, decide_right(request(scope), client))
        answer = msgspec.json.decode(template.answer(b"a.b.c"))
        wanted = {"access_token": "a.b.c", "token_type": "Bearer", "expires_in": 900}
        assert answer == wanted | ({"scope": scope} if scope else {})


def test_what_is_kept_is_bounded_for_the_process() -> None:
    templates = TokenTemplates("https://id.example", kept=3)
    clients = [entry(f"cli_{number}") for number in range(5)]
    for client in clients:
        right = Right(AUDIENCE, "bookings:read", asked=False)
        templates.keep(client.memo, "key", templates.make(client.tenant, right))
    assert [len(client.memo) for client in clients] == [0, 0, 1, 1, 1]


def test_no_repr_shows_a_secret() -> None:
    issuer = Issuer(environment="development", issuer="https://id.example", pepper=b"pepper!!", token_url_of=str)
    assert "pepper!!" not in repr(issuer)
    assert "s3cret" not in repr(request())
