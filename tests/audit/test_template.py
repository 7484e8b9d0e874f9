"""A template's records are byte for byte the encoder's: the chain and its readers cannot tell them apart."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from omnilab.audit.model import AuditRecord, RecordTemplate, encode

TEXTS = st.text(max_size=30) | st.sampled_from(['"contact":""', '"address":""', '\\"address":""', "{}%s\\", '"'])
PLAIN = st.text("0123456789abcdef-", max_size=40)


@given(tenant=TEXTS, client_id=TEXTS, address=TEXTS, request_id=PLAIN, value=PLAIN, at_ms=st.integers(0, 2**48))
def test_a_filled_template_is_the_encoded_record(
    tenant: str, client_id: str, address: str, request_id: str, value: str, at_ms: int
) -> None:
    record = AuditRecord(
        request_id="",
        occurred_at=0,
        tenant_id="ten_1",
        endpoint="bookings:read",
        outcome="granted",
        tenant=tenant,
        client_id=client_id,
        address=address,
    )
    whole = msgspec.structs.replace(record, request_id=request_id, occurred_at=at_ms, details={"contact": value})
    listed = msgspec.structs.replace(record, details={"contact": ""})
    assert RecordTemplate(listed, "contact").fill(request_id, at_ms, value) == encode(whole)

    details: dict[str, str | int] = {"audience": tenant, "scope": client_id, "address": ""}
    whole = msgspec.structs.replace(whole, address=value, details=details)
    issued = msgspec.structs.replace(record, address="", details=details)
    assert RecordTemplate(issued, "address").fill(request_id, at_ms, value) == encode(whole)
