"""What a guard says of tokens, headers, callers and keys, at each of their edges. No token is in what it says."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

from omnilab.guard import Caller, Guard
from omnilab.guard.answers import problem_answer
from omnilab.guard.bearer import read_bearer
from omnilab.guard.claims import LAST_MOMENT
from omnilab.guard.errors import GuardError, InsufficientScopeError, InvalidTokenError, KeysUnavailableError
from omnilab.guard.keys import KeySet, read_key, read_keys
from tests.guard.minting import (
    AUDIENCE,
    EDDSA,
    ES256,
    ISSUER,
    JWKS,
    NOW,
    RS256,
    STRANGER,
    Mint,
    b64,
    ec_jwk,
    ed_jwk,
    right_claims,
    rsa_jwk,
    token,
)
from tests.guard.standing import FakeClient, FakeStandings, FakeTenant
from tests.words import agrees, awaited_outcome_of, outcome_of


def verify_all(tokens: dict[str, str], *, now: float = NOW, **options: Any) -> dict[str, Any]:
    """What a guard says of each; a token that is taken is told by its caller."""

    async def act() -> dict[str, Any]:
        found = {}
        for name, text in tokens.items():
            guard = Guard(issuer=ISSUER, audience=AUDIENCE, jwks=JWKS, now=lambda: now, **options)
            found[name] = await awaited_outcome_of(lambda text=text, guard=guard: told(guard, text))
        return found

    async def told(guard: Guard, text: str) -> str:
        caller = await guard.verify(text)
        return (
            f"{caller.client_id} of {caller.tenant}, {caller.audience}, {sorted(caller.scope)}, {caller.expires_at:g}"
        )

    return asyncio.run(act())


def test_forms() -> None:
    right = token().split(".")
    spare = right[2][:-1] + {"A": "B", "Q": "R", "g": "h", "w": "x"}[right[2][-1]]
    body = json.dumps(right_claims()).encode()
    forms = {
        "right": token(),
        "empty": "",
        "one part": right[0],
        "two parts": ".".join(right[:2]),
        "four parts": ".".join([*right, "x"]),
        "a client secret": "omni_dev_x",
        "not ASCII": token() + "ä",
        "longer than any": "a" * 10_000 + ".b.c",
        "as long as may be": "a" * 8_188 + ".b.c",
        "header with other characters": f"{right[0]}=.{right[1]}.{right[2]}",
        "payload cut off": f"{right[0]}.{right[1][: len(right[1]) // 4 * 4 + 1 - 4]}.{right[2]}",
        "payload empty": f"{right[0]}..{right[2]}",
        "signature cut off": ".".join(right)[:-1],
        "signature with spare bits": f"{right[0]}.{right[1]}.{spare}",
        "signature empty": f"{right[0]}.{right[1]}.",
        "signature of another": Mint(key=STRANGER).token(),
        "header no JSON": Mint(header_json=b"{").token(),
        "header no object": Mint(header_json=b"[]").token(),
        "header not UTF-8": Mint(header_json=b"\xff").token(),
        "header with a member twice": Mint(header_json=b'{"alg":"ES256","alg":"ES256","kid":"key_es"}').token(),
        "payload no JSON": Mint(claims_json=b"x").token(),
        "payload no object": Mint(claims_json=b'"x"').token(),
        "payload with NaN": Mint(claims_json=body[:-1] + b', "x": NaN}').token(),
        "payload with a member twice": Mint(claims_json=body[:-1] + b', "iss": "x"}').token(),
    }
    headers: dict[str, dict[str, Any]] = {
        member: {member: "x"} for member in ("jwk", "jku", "x5u", "x5c", "crit", "b64", "zip", "enc")
    }
    headers |= {
        f"alg {value}": {"alg": value} for value in ("none", "HS256", "ES512", "es256", None, 5, "RS256", "EdDSA")
    }
    headers |= {f"kid of {len(value)}": {"kid": value} for value in ("", "a", "a" * 255, "a" * 256)}
    headers |= {"kid 5": {"kid": 5}, "no kid": {"kid": None}}
    headers |= {
        f"typ {value}": {"typ": value} for value in ("JWT", "AT+JWT", "application/at+jwt", "secret-event+jwt", None, 5)
    }
    forms |= {f"header: {name}": Mint(header=header).token() for name, header in headers.items()}
    agrees("forms", verify_all(forms))


def test_claims() -> None:
    changes: dict[str, dict[str, Any]] = {}
    for name in ("iss", "sub", "client_id", "tenant", "credential_id", "jti"):
        for value in (None, 5, "", "a\n", "ä", "a" * 255, "a" * 256):
            changes[f"{name} {value!r:.12}" + (f" of {len(value)}" if isinstance(value, str) else "")] = {name: value}
    for name in ("iat", "exp", "nbf"):
        for value in (
            None,
            True,
            "1",
            -1,
            0,
            NOW,
            NOW + 59,
            NOW + 60,
            NOW + 61,
            NOW + 0.5,
            LAST_MOMENT,
            LAST_MOMENT + 1,
        ):
            changes[f"{name} {value}"] = {name: value}
    for value in (
        None,
        [],
        [AUDIENCE],
        ["urn:b", AUDIENCE],
        ["urn:b"],
        "urn:b",
        [5],
        "",
        [""],
        5,
        [AUDIENCE] * 100,
        [AUDIENCE] * 101,
        {"a": 1},
        ["u" * 200, "v" * 200],
    ):
        changes[f"aud {str(value)[:40]} of {len(value) if isinstance(value, list) else 1}"] = {"aud": value}
    for value in (None, 5, "", "a", "a b", "a  b", " a", "a ", 'a"b', "a\\b", "a\tb", ["a"]):
        changes[f"scope {value!r}"] = {"scope": value}
    agrees("claims", verify_all({name: token(**claims) for name, claims in changes.items()}))


def test_times() -> None:
    life = {"iat": NOW - 100, "exp": NOW}
    found = {
        f"{after} s after the end, leeway {leeway}": verify_all(
            {"": token(**life)}, now=NOW + after, leeway_seconds=leeway
        )[""]
        for after in (-1, 0, 0.5, 4.5, 5, 5.5)
        for leeway in (0, 5)
    }
    later = {"iat": NOW, "nbf": NOW + 10, "exp": NOW + 100}
    found |= {
        f"{before} s before the beginning, leeway {leeway}": verify_all(
            {"": token(**later)}, now=NOW + 10 - before, leeway_seconds=leeway
        )[""]
        for before in (-1, 0, 0.5, 5, 5.5, 10)
        for leeway in (0, 5)
    }
    agrees("times", found)


def test_standings() -> None:
    clients = {
        "right": FakeClient(),
        "unknown": FakeClient(client_id="cli_two"),
        "disabled": FakeClient(active=False),
        "suspended": FakeClient(tenant=FakeTenant(active=False)),
        "moved to another tenant": FakeClient(tenant=FakeTenant(tenant="globex")),
        "credential revoked": FakeClient(live=set()),
        "audience gone": FakeClient(audiences={}),
    }

    async def act() -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, client in clients.items():
            for audience in (AUDIENCE, None):
                guard = Guard(
                    issuer=ISSUER, audience=audience, jwks=JWKS, now=lambda: NOW, standings=FakeStandings(client)
                )
                found[f"{name}, for {audience}"] = await awaited_outcome_of(lambda guard=guard: guard.verify(token()))
        guard = Guard(
            issuer=ISSUER, audience=AUDIENCE, jwks=JWKS, now=lambda: NOW, revoked_tokens={right_claims()["jti"]}
        )
        found["token revoked"] = await awaited_outcome_of(lambda: guard.verify(token()))
        found["token revoked, and only proved"] = (await guard.prove(token())).token_id
        other = Guard(issuer=ISSUER, audience=AUDIENCE, jwks=JWKS, now=lambda: NOW)
        found["another tenant's host"] = await awaited_outcome_of(lambda: other.verify(token(), tenant="globex"))
        return found

    found = {name: value for name, value in asyncio.run(act()).items() if isinstance(value, dict) or "proved" in name}
    agrees("standings", found)


def test_bearer() -> None:
    values: dict[str, list[bytes]] = {
        "none": [],
        "two": [b"Bearer a", b"Bearer b"],
        "plain": [b"Bearer a"],
        "case": [b"bEaReR a"],
        "spaces": [b"Bearer   a  "],
        "nothing after": [b"Bearer "],
        "no space": [b"Bearer"],
        "a list": [b"Bearer a, bearer b"],
        "a comma": [b"Bearer a,b"],
        "the word without a comma": [b"Bearer a bearer b"],
        "basic": [b"Basic eDp5"],
        "digest": [b"Digest x"],
        "dpop": [b"DPoP x"],
        "negotiate": [b"Negotiate x"],
        "token": [b"Token x"],
        "apikey": [b"ApiKey x"],
        "another": [b"Secret-Thing x"],
        "empty": [b""],
        "not ASCII": [b"Bearer \xe4"],
    }
    agrees("bearer", {name: outcome_of(lambda given=given: read_bearer(given)) for name, given in values.items()})


def test_rights_and_answers() -> None:
    def caller(scope: str, standing: FakeClient | None) -> Caller:
        return Caller("cli_1", "acme", None, AUDIENCE, frozenset(scope.split()), "sec_1", "jti", 1, 2, standing)

    granted = FakeClient(allowed=frozenset({"bookings:read", "bookings:cancel"}))
    rights = {
        f"{endpoint} with {scope or 'nothing'}, {'standing' if standing else 'token alone'}": outcome_of(
            lambda endpoint=endpoint, scope=scope, standing=standing: caller(scope, standing).require(endpoint)
        )
        for endpoint in ("bookings:read", "bookings:create")
        for scope in ("", "bookings:read", "bookings:cancel bookings:create")
        for standing in (None, granted)
    }
    errors: list[GuardError] = [
        InvalidTokenError("token_missing", "none"),
        InvalidTokenError("token_expired", "old", reason="r", check="c", expected="e", found="f"),
        InsufficientScopeError("endpoint_not_enabled", "not yours"),
        KeysUnavailableError("no keys"),
        KeysUnavailableError("no keys", retry_after_seconds=7),
        InvalidTokenError("of tomorrow", "unknown code"),
    ]
    answers = {
        f"{error.code}, {request_id}, {number}": str(
            problem_answer(error, docs_url="https://docs.example", request_id=request_id)
        )
        for number, error in enumerate(errors)
        for request_id in (None, "id-1")
    }
    agrees("rights_and_answers", rights | answers)


def test_keys() -> None:
    es, rs, ed = ec_jwk(ES256), rsa_jwk(RS256), ed_jwk(EDDSA)
    x = base64.urlsafe_b64decode(es["x"] + "=")
    jwks = {
        "ES256": es,
        "RS256": rs,
        "EdDSA": ed,
        "no kid": es | {"kid": ""},
        "long kid": es | {"kid": "k" * 255},
        "longer kid": es | {"kid": "k" * 256},
        "kid 5": es | {"kid": 5},
        "for encryption": es | {"use": "enc"},
        "use not said": {name: value for name, value in es.items() if name != "use"},
        "to sign": es | {"key_ops": ["sign"]},
        "to verify": es | {"key_ops": ["verify"]},
        "ops a text": es | {"key_ops": "verify"},
        "another curve": es | {"crv": "P-384"},
        "another kind": es | {"kty": "oct"},
        "kind a list": es | {"kty": []},
        "another alg": es | {"alg": "ES512"},
        "alg of RSA": rs | {"alg": "PS256"},
        "alg not said": {**es, "alg": "ES256"},
        "private": es | {"d": "x"},
        "x 5": es | {"x": 5},
        "x with padding": es | {"x": es["x"] + "="},
        "x short": es | {"x": b64(x[:31])},
        "x long": es | {"x": b64(b"\0" + x)},
        "x of one": es | {"x": "A"},
        "y short": es | {"y": b64(x[:31])},
        "not on the curve": es | {"y": es["x"]},
        "no y": {k: v for k, v in es.items() if k != "y"},
        "exponent 1": rs | {"e": b64(b"\x01")},
        "exponent 3": rs | {"e": b64(b"\x03")},
        "exponent 2^32": rs | {"e": b64(b"\1\0\0\0\0")},
        "exponent 2^32 - 1": rs | {"e": b64(b"\xff\xff\xff\xff")},
        "small modulus": rs | {"n": b64(b"\x7f" * 256)},
        "modulus of 8192 bits": rs | {"n": b64(b"\xff" * 1024)},
        "modulus of 8200 bits": rs | {"n": b64(b"\xff" * 1025)},
        "Ed25519 short": ed | {"x": b64(b"\1" * 31)},
    }
    found: dict[str, Any] = {}
    for name, jwk in jwks.items():
        key = read_key(jwk)
        found[name] = None if key is None else [key.algorithm, len(key.key_id), len(key.material), key.live]
    sets: dict[str, Any] = {
        "no object": [],
        "no keys": {},
        "keys a text": {"keys": "x"},
        "100": {"keys": [es] * 100},
        "101": {"keys": [es] * 101},
        "others between": {"keys": [5, es, None]},
    }
    found |= {f"set: {name}": outcome_of(lambda given=given: len(read_keys(given))) for name, given in sets.items()}
    keys = KeySet()
    keys.replace({"keys": [es, rs, es | {"x": rs["n"]}]})
    first, second = keys.get("key_es"), keys.get("key_rs")
    assert first is not None
    assert second is not None
    found["none usable"] = outcome_of(lambda: keys.replace({"keys": [es | {"use": "enc"}]}))
    keys.replace({"keys": [es, ec_jwk(STRANGER, "key_rs")]})
    found["after a change"] = [
        len(keys),
        keys.get("key_es") is first,
        first.live,
        keys.get("key_rs") is second,
        second.live,
    ]
    raw = Mint().token().rsplit(".", 1)
    good = base64.urlsafe_b64decode(raw[1] + "==")
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    edges = {
        "right": good,
        "short": good[:63],
        "long": good + b"\0",
        "r zero": bytes(32) + good[32:],
        "s zero": good[:32] + bytes(32),
        "r the order": order.to_bytes(32) + good[32:],
        "s the order": good[:32] + order.to_bytes(32),
    }
    found |= {f"signature: {name}": first.verifies(each, raw[0].encode()) for name, each in edges.items()}
    agrees("keys", found)
