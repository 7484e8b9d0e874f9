"""Attacks on JWTs (RFC 8725, and the history of the libraries): each token here must be refused, and quietly.

What is refused must not raise anything but InvalidTokenError, must not be cached, and must not be quoted.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from omnilab.guard import Guard, InvalidTokenError
from omnilab.guard.keys import KeySet, read_key
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
    number,
    right_claims,
    rsa_jwk,
    sign_raw,
    token,
)
from tests.quotas.fakes import finish

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def make_guard() -> Guard:
    return Guard(issuer=ISSUER, audience=AUDIENCE, jwks=JWKS, now=lambda: float(NOW))


def refused(text: str) -> InvalidTokenError:
    guard = make_guard()
    with pytest.raises(InvalidTokenError) as caught:
        finish(guard.verify(text))
    assert len(guard._cache) == 0
    error = caught.value
    told = f"{error} {error.detail} {error.reason} {error.expected} {error.found}"
    for part in text.split("."):
        assert len(part) < 12 or part[:12] not in told
    return error


def malformed(text: str, check: str | None = None) -> None:
    error = refused(text)
    assert error.code == "token_malformed"
    assert check is None or error.check == check


def hmac_token(secret: bytes, algorithm: str = "HS256") -> str:
    mint = Mint(header={"alg": algorithm, "kid": "key_rs"})
    return mint.with_signature(hmac.digest(secret, mint.signing_input(), hashlib.sha256))


@pytest.mark.parametrize(
    "name", ["none", "None", "NONE", "nOnE", "", "HS256", "ES384", "PS256", "Ed25519", "es256", "ES256 "]
)
def test_algorithms_other_than_the_named(name: str) -> None:
    mint = Mint(header={"alg": name})
    malformed(mint.token(), "token_signature")
    malformed(mint.with_signature(b"\0"))


@pytest.mark.parametrize("value", [None, 0, True, ["ES256"], {"alg": "ES256"}])
def test_algorithm_of_another_type(value: object) -> None:
    malformed(Mint(header={"alg": value}).token())


def test_alg_none_without_a_signature() -> None:
    unsigned = Mint(header={"alg": "none"}).signing_input().decode()
    malformed(unsigned + ".")
    malformed(unsigned)


@pytest.mark.parametrize("algorithm", ["HS256", "RS256"])
def test_public_key_as_hmac_secret(algorithm: str) -> None:
    public = RS256.public_key()
    for form in (serialization.PublicFormat.SubjectPublicKeyInfo, serialization.PublicFormat.PKCS1):
        for encoding in (serialization.Encoding.PEM, serialization.Encoding.DER):
            malformed(hmac_token(public.public_bytes(encoding, form), algorithm))
    malformed(hmac_token(json.dumps(rsa_jwk(RS256)).encode(), algorithm))
    malformed(hmac_token(b"", algorithm))


def test_a_symmetric_key_in_the_set_is_no_key() -> None:
    assert read_key({"kty": "oct", "kid": "key_es", "alg": "HS256", "k": b64(b"secret" * 8)}) is None


@pytest.mark.parametrize(
    "member",
    [
        {"jwk": ec_jwk(STRANGER)},
        {"jku": "https://evil.example.com/jwks.json"},
        {"x5u": "https://evil.example.com/cert.pem"},
        {"x5c": ["MIIB"]},
        {"crit": ["exp"]},
        {"crit": []},
        {"b64": False},
        {"b64": True},
        {"zip": "DEF"},
        {"enc": "A256GCM"},
    ],
)
def test_header_members_that_bring_their_own_keys_or_rules(member: dict[str, Any]) -> None:
    malformed(Mint(key=STRANGER, header=member).token())
    malformed(Mint(header=member).token(), "token_form")  # even with the right signature


@pytest.mark.parametrize(
    "key_id", ["key_unknown", "../../dev/null", "key_es\0", "' OR 1=1 --", "", None, 1, ["key_es"], "k" * 256, "KEY_ES"]
)
def test_kid_tricks(key_id: object) -> None:
    malformed(Mint(header={"kid": key_id}).token(), "token_signature")


def test_the_key_decides_the_algorithm() -> None:
    malformed(Mint(key=RS256, header={"alg": "ES256", "kid": "key_rs"}).token(), "token_signature")
    malformed(Mint(key=ES256, header={"alg": "EdDSA", "kid": "key_es"}).token(), "token_signature")
    malformed(Mint(key=EDDSA, header={"alg": "EdDSA", "kid": "key_es"}).token(), "token_signature")


def test_another_key_with_a_known_kid() -> None:
    malformed(Mint(key=STRANGER).token(), "token_signature")


@pytest.mark.parametrize(
    ("r", "s"), [(0, 0), (0, 1), (1, 0), (P256_ORDER, P256_ORDER), (P256_ORDER, 1), (2**256 - 1, 2**256 - 1)]
)
def test_psychic_signatures(r: int, s: int) -> None:
    malformed(Mint().with_signature(r.to_bytes(32, "big") + s.to_bytes(32, "big")), "token_signature")


def test_der_in_place_of_the_raw_signature() -> None:
    mint = Mint()
    malformed(mint.with_signature(ES256.sign(mint.signing_input(), ec.ECDSA(hashes.SHA256()))), "token_signature")


@pytest.mark.parametrize(
    "change", [lambda s: s[:-1], lambda s: s + b"\0", lambda s: s[:32], lambda s: b"\0" + s, lambda s: s * 2]
)
def test_signatures_of_another_length(change: Any) -> None:
    for key, header in (
        (ES256, {}),
        (RS256, {"alg": "RS256", "kid": "key_rs"}),
        (EDDSA, {"alg": "EdDSA", "kid": "key_ed"}),
    ):
        mint = Mint(key=key, header=header)
        malformed(mint.with_signature(change(sign_raw(key, mint.signing_input()))), "token_signature")


def test_other_schemes_of_the_same_key() -> None:
    mint = Mint(key=RS256, header={"alg": "RS256", "kid": "key_rs"})
    data = mint.signing_input()
    pss = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=32)
    malformed(mint.with_signature(RS256.sign(data, pss, hashes.SHA256())), "token_signature")
    malformed(mint.with_signature(RS256.sign(data, padding.PKCS1v15(), hashes.SHA512())), "token_signature")
    malformed(mint.with_signature(ES256.sign(data, ec.ECDSA(hashes.SHA384()))), "token_signature")


def test_curve_confusion() -> None:
    other = ec.generate_private_key(ec.SECP256K1()).public_key().public_numbers()
    on_another_curve = ec_jwk(ES256) | {"x": number(other.x, 32), "y": number(other.y, 32)}
    assert read_key(on_another_curve) is None  # not a point of P-256
    assert read_key(on_another_curve | {"crv": "secp256k1"}) is None
    assert read_key(ec_jwk(ES256) | {"crv": "P-384"}) is None
    assert read_key(ec_jwk(ES256) | {"x": number(0, 32), "y": number(0, 32)}) is None
    assert read_key(ed_jwk(EDDSA) | {"crv": "X25519"}) is None
    assert read_key(ed_jwk(EDDSA) | {"crv": "Ed448"}) is None


@pytest.mark.parametrize(
    "change",
    [
        {"kid": None},
        {"kid": ""},
        {"kid": 7},
        {"use": "enc"},
        {"key_ops": ["sign"]},
        {"key_ops": "verify"},
        {"alg": "RS256"},
        {"alg": "none"},
        {"alg": None},
        {"d": "AAAA"},
        {"x": "AAAA"},
        {"x": 5},
        {"x": "=="},
        {"x": "A"},
        {"y": None},
        {"kty": ["EC"]},
        {"kty": "RSA"},
        {"crv": {}},
    ],
)
def test_keys_that_are_not_for_our_signatures(change: dict[str, Any]) -> None:
    assert read_key(ec_jwk(ES256)) is not None
    assert read_key(ec_jwk(ES256) | change) is None


def test_weak_and_huge_rsa_keys() -> None:
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    assert read_key(rsa_jwk(weak)) is None
    assert read_key(rsa_jwk(RS256) | {"n": b64(b"\xff" * 2048)}) is None
    assert read_key(rsa_jwk(RS256) | {"e": b64(b"\x01")}) is None
    assert read_key(rsa_jwk(RS256) | {"e": b64(b"\xff" * 200)}) is None


def test_a_set_with_too_many_keys_is_no_set() -> None:
    with pytest.raises(ValueError, match="at most"):
        KeySet().replace({"keys": [ec_jwk(ES256)] * 101})
    keys = KeySet()
    keys.replace({"keys": [ec_jwk(STRANGER), "not a key", {}, ec_jwk(ES256)]})
    assert len(keys) == 1  # the first of one id counts


@pytest.mark.parametrize(
    "text",
    ["", ".", "..", "...", "a.b.c", "....", "eyJ", "Bearer x", "é.é.é", "a" * 9000, "\0", "omni_dev_" + "A" * 49],
)
def test_no_tokens_at_all(text: str) -> None:
    malformed(text, "token_form")


def test_a_client_secret_as_a_token_is_told() -> None:
    error = refused("omni_dev_" + "A" * 49)
    assert "client secret" in error.detail


def test_extra_and_missing_parts() -> None:
    text = token()
    for other in (
        text + ".",
        text + ".AAAA",
        "." + text,
        text.rsplit(".", 1)[0],
        text.replace(".", "..", 1),
        f"{text}.{text}",
    ):
        malformed(other, "token_form")


def test_huge_tokens_are_not_even_decoded() -> None:
    malformed(Mint(header={"pad": "A" * 9000}).token(), "token_form")
    malformed(token(pad="A" * 9000), "token_form")


def test_one_spelling_only() -> None:
    text = token()
    header, payload, signature = text.split(".")
    for other in (
        text + "=",
        text + "\n",
        " " + text,
        f"{header}=.{payload}.{signature}",
        f"{header}.{payload}.{signature[:-1]}{chr(ord(signature[-1]) ^ 1)}",
        f"{header}.{payload}.{signature}A",
        f"{header[:5]} {header[5:]}.{payload}.{signature}",
        f"{header}.{payload}.{base64.b64encode(base64.urlsafe_b64decode(signature + '==')).decode().rstrip('=')}+",
    ):
        malformed(other)


def test_spare_bits_of_base64url() -> None:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    text = token()
    last = alphabet.index(text[-1])
    assert last % 16 == 0  # 64 bytes: the last character has four bits to spare
    for spare in range(1, 16):
        malformed(text[:-1] + alphabet[last + spare], "token_form")


@pytest.mark.parametrize(
    "header",
    [
        b'{"alg":"ES256","alg":"none","typ":"at+jwt","kid":"key_es"}',
        b'{"alg":"ES256","\\u0061lg":"none","typ":"at+jwt","kid":"key_es"}',
        b'["ES256"]',
        b'"ES256"',
        b"null",
        b"{}",
        b"{",
        b'\xef\xbb\xbf{"alg":"ES256","typ":"at+jwt","kid":"key_es"}',
        b'{"alg":"ES256","typ":"at+jwt","kid":"\xff"}',
        b'{"alg":"ES256","typ":"at+jwt","kid":"key_es"} trailing',
        '{"alg":"ES256"}'.encode("utf-16"),
        b"[" * 3000,
    ],
)
def test_headers_that_are_no_json_object(header: bytes) -> None:
    malformed(Mint(header_json=header).token())


def test_deep_nesting_and_endless_numbers_in_a_signed_payload() -> None:
    malformed(Mint(claims_json=b'{"a":' + b"[" * 2500 + b"]" * 2500 + b"}").token(), "token_form")
    malformed(Mint(claims_json=b'{"exp":' + b"9" * 5000 + b"}").token(), "token_form")


@pytest.mark.parametrize(
    "typ",
    ["JWT", "jwt", "AT+JWT", "at+jwt ", "logout+jwt", "dpop+jwt", "", None, 1, ["at+jwt"], "text/at+jwt", "x" * 40],
)
def test_another_kind_of_token_of_the_same_issuer(typ: object) -> None:
    malformed(Mint(header={"typ": typ}).token(), "token_type")


TEXTS = ["iss", "sub", "client_id", "aud", "jti", "scope", "tenant", "credential_id"]


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("value", [None, 7, True, {}, [], [[]], [7], "\ud800", "line\nbreak", "\x7f", -1, 1e300])
def test_claims_that_are_missing_or_of_another_type(name: str, value: object) -> None:
    malformed(token(**{name: value}))


@pytest.mark.parametrize("name", [name for name in TEXTS if name != "scope"])
def test_claims_of_another_length(name: str) -> None:
    malformed(token(**{name: "x" * 256}))
    malformed(token(**{name: ""}))


@pytest.mark.parametrize("name", ["exp", "iat"])
@pytest.mark.parametrize("value", [None, "7", True, {}, [], [7], -1, 1e300, "Infinity"])
def test_moments_that_are_missing_or_of_another_type(name: str, value: object) -> None:
    malformed(token(**{name: value}))


@pytest.mark.parametrize("name", ["exp", "iat", "nbf"])
@pytest.mark.parametrize(
    "text",
    [
        "NaN",
        "Infinity",
        "-Infinity",
        "1e999",
        "-1e999",
        "1e30",
        "253402300800",
        "true",
        "null",
        '"1900000000"',
        "[1900000000]",
        "-1",
    ],
)
def test_moments_that_are_none(name: str, text: str) -> None:
    claims = json.dumps({k: v for k, v in right_claims().items() if k != name})
    malformed(Mint(claims_json=f'{claims[:-1]}, "{name}": {text}}}'.encode()).token())


def test_a_claim_named_twice() -> None:
    claims = json.dumps(right_claims())
    malformed(Mint(claims_json=f'{claims[:-1]}, "tenant": "globex"}}'.encode()).token(), "token_form")
    malformed(Mint(claims_json=f'{claims[:-1]}, "\\u0065xp": {NOW + 10**6}}}'.encode()).token(), "token_form")


@pytest.mark.parametrize(
    "scope", [" bookings:read", "a  b", "a ", 'a"b', "a\\b", "bookings:read\tbookings:cancel", "é"]
)
def test_scopes_outside_the_grammar(scope: str) -> None:
    malformed(token(scope=scope))


@pytest.mark.parametrize("aud", [["x"] * 101, [AUDIENCE, 7], [AUDIENCE, ""], "", "\x7f"])
def test_audiences_of_another_shape(aud: object) -> None:
    malformed(token(aud=aud))


@pytest.mark.parametrize("aud", [AUDIENCE + "/", AUDIENCE.upper(), AUDIENCE[:-1], ["https://globex.api.example.com"]])
def test_audiences_that_are_nearly_ours(aud: object) -> None:
    assert refused(token(aud=aud)).code == "audience_mismatch"


RIGHT = token()


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(RIGHT) - 1), st.characters(codec="latin-1"))
def test_no_changed_character_passes(place: int, char: str) -> None:
    changed = RIGHT[:place] + char + RIGHT[place + 1 :]
    if changed != RIGHT:
        assert refused_code(changed) == "token_malformed"


@settings(max_examples=200, deadline=None)
@given(
    st.text(max_size=200) | st.lists(st.binary(max_size=60), max_size=5).map(lambda parts: ".".join(map(b64, parts)))
)
def test_no_text_raises_anything_else(text: str) -> None:
    assert refused_code(text) == "token_malformed"


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(right_claims())), JSON_VALUES)
def test_any_value_of_a_signed_claim_is_accepted_whole_or_refused(name: str, value: object) -> None:
    guard = make_guard()
    try:
        caller = finish(guard.verify(Mint(claims_json=json.dumps(right_claims() | {name: value}).encode()).token()))
    except InvalidTokenError:
        return
    assert isinstance(caller.client_id, str)
    assert caller.audience == AUDIENCE
    assert caller.expires_at > NOW - 5


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(["alg", "typ", "kid"]), JSON_VALUES)
def test_any_value_in_the_header_is_refused(name: str, value: object) -> None:
    text = Mint(
        header_json=json.dumps({"alg": "ES256", "typ": "at+jwt", "kid": "key_es"} | {name: value}).encode()
    ).token()
    assert refused_code(text) == "token_malformed"


GUARD = make_guard()


def refused_code(text: str) -> str:
    with pytest.raises(InvalidTokenError) as caught:
        finish(GUARD.verify(text))
    return caught.value.code
