"""No credential survives masking, in whole or in part; no honest identifier is taken for one."""

from __future__ import annotations

import base64
import itertools
import random
import re
import string
from pathlib import Path
from urllib.parse import quote, unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import omnilab
from omnilab.clock import SystemClock
from omnilab.crypto.client_secret import new_client_secret
from omnilab.crypto.random import RequestIds, new_id
from omnilab.telemetry.redaction import MASK, excerpt, is_secret_name, looks_like_credential, mask, mask_shapes

KINDS = ("bkg_", "chn_", "cli_", "fbk_", "hof_", "key_", "sec_", "ten_")
BASE62 = string.ascii_letters + string.digits
TOKEN = (
    "eyJhbGciOiJFUzI1NiIsInR5cCI6ImF0K2p3dCJ9.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUiLCJzdWIiOiJjbGlfMSJ9"
    ".MEUCIQDx7vJ9Zq3kQpYw0sYb1cVn8mT5rL2uHgEoKf4aNtXzRwIgP6sGdBhJ"
)


def parts(secret: str) -> set[str]:
    """All pieces of eight characters of the random part."""
    random_part = secret[9:]
    return {random_part[start : start + 8] for start in range(len(random_part) - 7)}


@pytest.mark.parametrize("environment", ["development", "staging", "production"])
def test_secrets_are_masked_wherever_they_stand(environment: str) -> None:
    for _ in range(50):
        secret = new_client_secret(environment).reveal()
        pair = base64.b64encode(f"cli_x:{secret}".encode()).decode()
        for text in (
            secret,
            f"GET /v1/x?client_secret={secret}&y=1",
            f'{{"client_secret": "{secret}", "x": 1}}',
            f"RuntimeError: bad value '{secret}'",
            quote(secret, safe="").replace("_", "%5F"),
            secret[: len(secret) // 2],
            secret + "\n",
            f"Authorization: Basic {pair}",
            pair,
            f"client_secret={secret[9:]}",
            secret.upper(),
        ):
            masked = mask(text)
            assert not any(part in masked for part in parts(secret)), text
            assert not any(part in masked for part in parts("x" * 9 + pair)), text


def test_tokens_are_masked_wherever_they_stand() -> None:
    payload = TOKEN.split(".")[1]
    for text in (TOKEN, f"Bearer {TOKEN}", f"access_token={TOKEN}", f"GET /x/{TOKEN}/y", TOKEN[:-10], TOKEN[:60]):
        assert payload[:12] not in mask(text)
        assert TOKEN[-20:-12] not in mask(text)


@pytest.mark.parametrize(
    "text",
    [
        "password=hunter2",
        '"password": "hunter2"',
        "Proxy-Authorization: hunter2",
        "client-secret: hunter2",
        "postgresql://omnilab:hunter2@db:5432/omnilab",
        "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----",
        "-----BEGIN EC PRIVATE KEY-----\nhunter2",
        "bearer%20hunter2hunter2",
    ],
)
def test_other_secrets_are_masked_by_their_place(text: str) -> None:
    assert "hunter2" not in mask(text)


def test_what_explains_a_refusal_is_kept() -> None:
    secret = new_client_secret("staging").reveal()
    assert mask(f"secret {secret} is for another environment") == (
        "secret omni_stg_[masked] is for another environment"
    )


HONEST = [
    "contact-1",
    "user@example.com",
    "7f9c24e8-3b1a-4c55-9d0e-2a6f1b8c4d3e",
    "auth0|5f7c8ec7c33c6c004bbafe82",
    "CN=Müller, Jörg; OU=Vertrieb",
    "Basic settings",
    "bearer of bad news",
    "omni_stg_frontend",
    "0f343b0931126a20f133d67c2b018a3b1f9f1f3b6d8c5d8e9a7b6c5d4e3f2a1b",
    "fetchContactBookings",
    "urn:omnilab:development:acme",
    "https://acme.api.omni.example",
    "n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg",
    "eyJ",
]


@pytest.mark.parametrize("value", HONEST)
def test_honest_identifiers_are_not_refused(value: str) -> None:
    assert not looks_like_credential(value)


def test_our_own_ids_are_neither_refused_nor_masked() -> None:
    ids = RequestIds(SystemClock())
    for _ in range(200):
        for value in (new_id("cli_"), new_id("sec_"), new_id("bkg_"), new_id("ten_"), ids()):
            assert not looks_like_credential(value)
            assert mask(f"client {value} was refused") == f"client {value} was refused"


@example("cli_", "hbGciOiJFUzI1NiIsIn", 0)
@given(st.sampled_from(KINDS), st.text(BASE62, min_size=19, max_size=19), st.integers(0, 19))
def test_an_id_of_ours_that_holds_by_chance_what_a_token_begins_with_is_an_id(kind: str, text: str, at: int) -> None:
    own = f"{kind}{text[:at]}eyJ{text[at:]}"
    assert not looks_like_credential(own)
    for around in ("{}", "client {} was refused", "It was {}.", "{}/{}", '"{}"'):
        sentence = around.format(own, own)
        assert mask(sentence) == sentence
    for longer in (f"{own}x", f"{own}.{own}", f"{own}.x", f"{own}-x", f"x{own}"):
        if at < 10:  # what follows "eyJ" is long enough for a token's beginning
            assert MASK in mask(longer)


@given(st.text(f"{BASE62}_-", max_size=30))
def test_a_token_is_found_behind_any_other_characters(before: str) -> None:
    assert looks_like_credential(before + TOKEN)
    assert looks_like_credential(before + TOKEN[:13])


@pytest.mark.parametrize("header", ['{"typ":"JWT",\r\n "alg":"HS256"}', '{"alg":\n\t"ES256"}', '{"kid" : "key_1"}'])
def test_a_token_is_one_however_its_header_is_laid_out(header: str) -> None:
    encoded = base64.urlsafe_b64encode(header.encode()).decode().rstrip("=")
    assert looks_like_credential(f"{encoded}.e30.c2lnbmF0dXJl")
    assert looks_like_credential(encoded[:13])


def test_random_ids_of_others_are_not_refused_for_three_characters() -> None:
    chance = random.Random(1)
    texts = ["".join(chance.choices(f"{BASE62}_-", k=18)) for _ in range(20_000)]
    refused = [text for text in texts if looks_like_credential(f"eyJ{text}")]
    assert len(refused) < 20  # one in ten thousand of those that begin so; refused for every one would be all


def test_every_kind_of_id_is_known() -> None:
    source = "".join(path.read_text() for path in Path(omnilab.__file__).parent.rglob("*.py"))
    assert set(re.findall(r'new_id\("(\w+)"\)', source)) == set(KINDS)


@given(st.integers(0, 40), st.integers(0, 3))
def test_secrets_inside_other_values_are_refused(position: int, lead: int) -> None:
    secret = new_client_secret("development").reveal()
    around = "contact-" * 5
    assert looks_like_credential(around[:position] + secret + around[position:])
    assert looks_like_credential(base64.b64encode(b"x" * lead + b":" + secret.encode()).decode())
    assert looks_like_credential(base64.urlsafe_b64encode(b"x" * lead + TOKEN.encode()).decode())
    assert looks_like_credential(around + TOKEN)
    assert looks_like_credential("Bearer " + TOKEN)
    assert looks_like_credential("Basic " + base64.b64encode(b"cli_1:legacy-secret-1").decode())


@given(st.text(BASE62, min_size=43, max_size=49))
@example("00000000000000000000000000A0A0eyJ000A0A0A0A")  # by chance it holds what a token begins with
def test_random_runs_without_a_prefix_are_masked(text: str) -> None:
    kinds = [character.isdigit() + 2 * character.isupper() for character in text]
    changes = sum(1 for before, after in itertools.pairwise(kinds) if before != after)
    if len(set(kinds)) == 3 and changes >= len(text) // 3:
        assert mask(text) == "[masked]"


@given(st.text(max_size=200))
def test_masking_never_fails_and_is_done_in_one_go(text: str) -> None:
    assert mask(mask(text)) == mask(text)
    looks_like_credential(text)


@pytest.mark.parametrize("name", ["client_secret", "Authorization", "Set-Cookie", "PASSWORD", "access_token"])
def test_secret_names(name: str) -> None:
    assert is_secret_name(name)
    assert not is_secret_name(name + "_id")


def test_a_cut_leaves_no_part_that_looks_like_nothing() -> None:
    for _ in range(10):
        secret = new_client_secret("production").reveal()
        for text in (secret[9:], secret, quote(secret, safe="").replace("_", "%5F")):
            for lead in range(60, 100, 3):
                shown = excerpt("/way" * (lead // 4) + "x" * (lead % 4) + text, 100)
                assert not any(part in shown for part in parts(secret)), shown
        assert len(excerpt("word " * 2000 + secret, 100)) == 100
        assert excerpt(secret[9:] * 200, 100) == MASK


def test_percent_encoding_hides_no_secret() -> None:
    for _ in range(10):
        secret = new_client_secret("development").reveal()
        once = "".join(f"%{byte:02x}" for byte in secret.encode())
        for text in (once, quote(once), f"/v1/x?a={once}&b=1", once[: len(once) // 2]):
            assert not any(part in unquote(unquote(mask(text))) for part in parts(secret)), text
        assert looks_like_credential(once)
        assert looks_like_credential(quote(once))
    assert mask("100%25 sure%0A") == "100%25 sure%0A"
    assert not looks_like_credential("100%25 sure, and 50% more")


def test_words_around_hide_no_random_text() -> None:
    for text in ("/way/to/" * 20 + "{}", "{}" + "x" * 15, "a/b/{}/c/d", "words-and-{}-words"):
        for _ in range(10):
            random_part = new_client_secret("staging").reveal()[9:]
            assert not any(part in mask(text.format(random_part)) for part in parts("x" * 9 + random_part)), text


@pytest.mark.parametrize(
    "text", ["/v1/interactions/fetchContactBookings", "/docs/errors/token_predates_grant", "/api/v1/users/42/orders/7"]
)
def test_paths_of_words_are_kept(text: str) -> None:
    assert mask(text) == text


def test_our_own_sentences_keep_their_words_and_lose_credentials() -> None:
    secret = new_client_secret("staging").reveal()
    assert mask_shapes("OMNILAB_MASTER_KEY: must be set") == "OMNILAB_MASTER_KEY: must be set"
    assert mask_shapes(f"No such command '{secret}'.") == "No such command 'omni_stg_[masked]'."
    assert mask_shapes(f"{TOKEN} cannot be read") == "[masked] cannot be read"
