"""Secrets that stay hidden, seals that do not open elsewhere, signatures that every JOSE library takes."""

from __future__ import annotations

import base64
import hmac
import json
import os
import pickle
import re
import string
import zlib

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jws as jose_jws
from joserfc.jwk import import_key

from omnilab.crypto.client_secret import (
    ENVIRONMENT_TAGS,
    TOTAL_WIDTH,
    Shape,
    checksum,
    new_client_secret,
    read_shape,
    secret_digest,
    secret_environment,
)
from omnilab.crypto.keyed_digest import KeyedDigest, keyed_digest
from omnilab.crypto.random import RequestIds, new_id
from omnilab.crypto.sealing import MasterKey, MasterKeyError, SealBrokenError, new_master_key_text
from omnilab.crypto.secret import Secret
from omnilab.crypto.signer import Signer
from omnilab.crypto.signing import (
    ALGORITHMS,
    generate_private_key,
    load_private_key,
    private_key_der,
    public_jwk,
)

ENVIRONMENTS = sorted(ENVIRONMENT_TAGS)


class Clock:
    def now_ms(self) -> int:
        return 0x0123456789AB

    def monotonic(self) -> float:
        return 0.0


BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase


@given(st.text(max_size=60))
def test_the_checksum_is_a_crc_32_in_six_characters_of_base62(text: str) -> None:
    written = checksum(text)
    assert len(written) == 6
    value = 0
    for character in written:
        value = value * 62 + BASE62.index(character)
    assert value == zlib.crc32(text.encode())


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_a_fresh_secret_has_the_form_of_the_contract(environment: str) -> None:
    text = new_client_secret(environment).reveal()
    assert re.fullmatch(rf"omni_{ENVIRONMENT_TAGS[environment]}_[0-9A-Za-z]{{49}}", text)
    assert text[-6:] == checksum(text[:-6])
    assert read_shape(text, environment) is Shape.WELL_FORMED
    assert secret_environment(text) == environment
    for other in ENVIRONMENTS:
        if other != environment:
            assert read_shape(text, other) is Shape.OTHER_ENVIRONMENT


@given(st.integers(min_value=9, max_value=TOTAL_WIDTH - 1), st.sampled_from(BASE62))
def test_one_wrong_character_or_a_cut_is_told_from_the_text(place: int, character: str) -> None:
    text = new_client_secret("development").reveal()
    changed = text[:place] + character + text[place + 1 :]
    if changed != text:
        assert read_shape(changed, "development") is Shape.MISTYPED
    assert read_shape(text[:place], "development") is Shape.CUT_OFF
    assert read_shape(text + character, "development") is Shape.MISTYPED


@given(st.text().filter(lambda text: not text.startswith("omni_")))
def test_what_does_not_begin_omni_is_an_earlier_systems(text: str) -> None:
    assert read_shape(text, "production") is Shape.LEGACY


@given(st.text(), st.text(), st.text())
def test_a_digest_is_bound_to_client_and_secret(client_id: str, secret: str, other: str) -> None:
    pepper = b"p" * 32
    digest = secret_digest(pepper, client_id, secret)
    assert len(digest) == 32
    assert digest == secret_digest(pepper, client_id, secret)
    assert (digest == secret_digest(pepper, client_id, other)) == (secret == other)
    assert digest != secret_digest(b"q" * 32, client_id, secret)


def test_a_secret_does_not_show_itself() -> None:
    secret = Secret("omni_dev_x")
    assert "omni_dev" not in f"{secret} {secret!r} {[secret]}"
    assert secret == Secret("omni_dev_x")
    assert secret != Secret("other")
    assert secret != "omni_dev_x"
    assert len({secret, Secret("omni_dev_x")}) == 1
    assert bool(secret)
    assert not Secret("")
    with pytest.raises(TypeError):
        pickle.dumps(secret)


@given(st.binary(max_size=200), st.text(max_size=20), st.text(max_size=20))
def test_a_seal_opens_only_for_its_row_and_key(plaintext: bytes, kind: str, row_id: str) -> None:
    key = MasterKey.parse(new_master_key_text())
    sealed = key.seal(kind, row_id, plaintext)
    assert key.open(kind, row_id, sealed) == plaintext
    for broken in (
        lambda: key.open(kind, row_id + "x", sealed),
        lambda: key.open(kind + "x", row_id, sealed),
        lambda: MasterKey.parse(new_master_key_text()).open(kind, row_id, sealed),
        lambda: key.open(kind, row_id, sealed[:-1] + bytes([sealed[-1] ^ 1])),
        lambda: key.open(kind, row_id, b"\x02" + sealed[1:]),
        lambda: key.open(kind, row_id, b""),
        lambda: key.open(kind, row_id, sealed[:10]),
    ):
        with pytest.raises(SealBrokenError):
            broken()


@pytest.mark.parametrize("text", ["", "abc", "0" * 63, "!" * 44, "AAAA", "é" * 44])
def test_a_bad_master_key_is_refused_without_quoting_it(text: str) -> None:
    with pytest.raises(MasterKeyError) as caught:
        MasterKey.parse(text)
    assert not text or text not in str(caught.value)


def test_a_master_key_may_be_hex_or_base64_and_stays_hidden() -> None:
    by_hex, by_base64 = MasterKey.parse("00" * 32), MasterKey.parse("A" * 43 + "=\n")
    assert by_base64.open("k", "i", by_hex.seal("k", "i", b"x")) == b"x"
    assert repr(by_hex) == "MasterKey(**********)"


def test_request_ids_are_uuid7_and_distinct() -> None:
    ids = RequestIds(Clock())
    made = [ids() for _ in range(5000)]
    assert len(set(made)) == 5000
    assert all(re.fullmatch(r"01234567-89ab-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", one) for one in made)
    assert re.fullmatch(r"cli_[0-9A-Za-z]{22}", new_id("cli_"))


# RFC 9864 renames EdDSA over Ed25519; the contract's name is the one that today's verifiers know.
@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_signatures_are_taken_by_pyjwt_and_joserfc_and_keys_survive_storage(algorithm: str) -> None:
    private_key = generate_private_key(algorithm)
    signer = Signer("key_1", algorithm, load_private_key(private_key_der(private_key)))
    jwk = public_jwk(private_key, "key_1", algorithm)
    for n in range(300):  # one ECDSA number in 128 is short and must be padded
        token = signer.compact(json.dumps({"sub": f"cli_{n}"}).encode())
        assert jwt.decode(token, jwt.PyJWK(jwk), algorithms=[algorithm]) == {"sub": f"cli_{n}"}
        header = jwt.get_unverified_header(token)
        assert header == {"alg": algorithm, "typ": "at+jwt", "kid": "key_1"}
        assert jose_jws.deserialize_compact(token, import_key(dict(jwk)), algorithms=[algorithm]).payload
    assert "d" not in jwk
    assert "Signer(key_id='key_1'" in repr(signer)


def test_an_unknown_algorithm_is_refused() -> None:
    with pytest.raises(ValueError, match="ES256"):
        generate_private_key("HS256")


@given(key=st.binary(max_size=200), data=st.binary(max_size=5000))
def test_a_keyed_digest_is_the_hmac_of_the_standard_library(key: bytes, data: bytes) -> None:
    expected = hmac.digest(key, data, "sha256")
    made = KeyedDigest(key)
    assert made(data) == made(data) == keyed_digest(key, data) == expected


def test_processes_that_were_forked_sign_with_random_numbers_of_their_own() -> None:
    """Workers are forked from one parent, and two signatures made with one number give the key away."""
    signer = Signer("key_1", "ES256", generate_private_key("ES256"))
    read_end, write_end = os.pipe()
    signer.sign(b"the parent has drawn numbers before")
    children = []
    for _ in range(4):
        child = os.fork()
        if child == 0:
            os.write(write_end, b"".join(signer.sign(b"the same") + b"\n" for _ in range(5)))
            os._exit(0)
        children.append(child)
    assert all(os.waitpid(child, 0)[1] == 0 for child in children)
    os.close(write_end)
    with open(read_end, "rb") as said:
        signatures = [line.strip() for line in said] + [signer.sign(b"the same")]
    numbers = {base64.urlsafe_b64decode(each + b"==")[:32] for each in signatures}
    assert len(signatures) == len(numbers) == 21
