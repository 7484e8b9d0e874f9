"""Claims encoded in parts are the same as claims encoded at once."""

from __future__ import annotations

import base64
import json

from hypothesis import given
from hypothesis import strategies as st

from omnilab.audit.model import escaped
from omnilab.tokens.model.claims import fixed_claims, last_claims, timed_claims
from omnilab.tokens.model.decision import Right
from tests.tokens.test_decision import Audience

_texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=30)


@given(_texts, _texts, st.integers(0, 2**33), st.integers(1, 86_400))
def test_the_parts_join_to_one_json_object(client_id: str, audience: str, now: int, lifetime: int) -> None:
    right = Right(Audience(audience), "bookings:cancel bookings:read", asked=False)
    fixed = fixed_claims("https://id.example", "acme", right)
    timed = timed_claims(now, lifetime)
    payload = fixed + timed + last_claims("0190-id", escaped(client_id), "sec_9")
    assert len(fixed) % 4 == len(timed) % 4 == 0
    assert not set(payload) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
    claims = json.loads(base64.urlsafe_b64decode(payload + b"=" * (-len(payload) % 4)))
    assert claims == {
        "iss": "https://id.example",
        "sub": client_id,
        "client_id": client_id,
        "aud": audience,
        "scope": "bookings:cancel bookings:read",
        "tenant": "acme",
        "credential_id": "sec_9",
        "iat": now,
        "exp": now + lifetime,
        "jti": "0190-id",
    }
