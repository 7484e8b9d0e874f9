"""Signing keys over a real database: made once, rotated without losing a token, known to every process."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from pathlib import Path
from typing import Any

import joserfc.jwt
import jwt
import pytest
from joserfc.jwk import KeySet

from omnilab.crypto.sealing import MasterKey, SealBrokenError, new_master_key_text
from omnilab.crypto.signing import ALGORITHMS
from omnilab.errors import ProvisioningError, UnavailableError
from omnilab.storage.sqlite import SQLiteDatabase
from omnilab.tenancy.model.orders import AudienceChange
from omnilab.tokens.model.keys import JWKS_MAX_AGE_SECONDS, LONGEST_TOKEN_SECONDS
from omnilab.tokens.service.keyring import Keyring
from tests.tokens.running import ACTOR, ISSUER, MASTER_KEY, Running, StandingClock, play

JWKS = "/.well-known/jwks.json"


async def statuses(it: Running) -> list[tuple[str | None, str | None]]:
    return [(key["algorithm"], key["status"]) for key in await it.platform.keys.list_documents()]


async def published(it: Running) -> dict[str, Any]:
    return dict((await it.http.get(JWKS)).json())


def verify(token: str, jwks: dict[str, Any], audience: str) -> str:
    """Verify with two unrelated libraries, from the JWKS alone; returns the key id."""
    header = jwt.get_unverified_header(token)
    key = next(key for key in jwt.PyJWKSet.from_dict(jwks).keys if key.key_id == header["kid"])
    options = {"verify_exp": False, "verify_iat": False}  # the clock of these tests stands still
    jwt.decode(token, key, algorithms=[header["alg"]], audience=audience, issuer=ISSUER, options=options)
    decoded = joserfc.jwt.decode(token, KeySet.import_key_set(jwks), algorithms=list(ALGORITHMS))
    assert decoded.claims["iss"] == ISSUER
    assert header["typ"] == "at+jwt"
    return str(header["kid"])


def test_init_makes_two_keys_for_each_algorithm_and_never_more(folder: Path) -> None:
    async def story(it: Running) -> None:
        wanted = sorted((algorithm, status) for algorithm in ALGORITHMS for status in ("current", "next"))
        assert sorted(await statuses(it)) == wanted
        assert await it.platform.keys.ensure(actor=ACTOR) == []
        assert sorted(await statuses(it)) == wanted

    play(folder, story)


def test_a_missing_key_is_made_again(folder: Path) -> None:
    with sqlite3.connect(folder / "omnilab.db") as db:
        db.execute("DELETE FROM signing_keys WHERE algorithm = 'RS256'")

    async def story(it: Running) -> None:
        assert len(await statuses(it)) == 6

    play(folder, story)


@pytest.mark.filterwarnings("ignore:EdDSA is deprecated:joserfc.errors.SecurityWarning")
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_rotation_loses_no_token(folder: Path, algorithm: str) -> None:
    async def story(it: Running) -> None:
        client = await it.add_client("acme")
        change = AudienceChange(algorithm=algorithm)
        await it.platform.tenancy.audiences.update("acme", client["audience"], change, actor=ACTOR)
        await it.settle()
        before, jwks_before = (await it.ask(client)).json()["access_token"], await published(it)
        old = verify(before, jwks_before, client["audience"])

        it.clock.forward(JWKS_MAX_AGE_SECONDS)
        await it.platform.keys.rotate(actor=ACTOR)
        await it.settle()

        after, jwks_after = (await it.ask(client)).json()["access_token"], await published(it)
        # A verifier with the JWKS of before knows the new key; one with the JWKS of now still knows the old one.
        new = verify(after, jwks_before, client["audience"])
        assert new != old
        assert verify(before, jwks_after, client["audience"]) == old
        assert (await it.http.get("/v1/oauth:whoami", headers={"Authorization": f"Bearer {before}"})).is_success

    play(folder, story)


def test_rotation_is_refused_while_the_next_keys_are_young(folder: Path) -> None:
    async def story(it: Running) -> None:
        with pytest.raises(ProvisioningError, match="Wait 300 seconds"):
            await it.platform.keys.rotate(actor=ACTOR)
        assert {status for _, status in await statuses(it)} == {"current", "next"}
        keys = await it.platform.keys.rotate(actor=ACTOR, at_once=True)
        assert sorted(key.status for key in keys if key.algorithm == "ES256") == ["current", "next", "retired"]
        with pytest.raises(ProvisioningError) as caught:
            await it.platform.keys.rotate(actor=ACTOR)
        assert caught.value.retry_after_seconds == JWKS_MAX_AGE_SECONDS

    play(folder, story)


def test_a_retired_key_leaves_the_jwks_and_then_the_table_once_its_last_token_has_expired(folder: Path) -> None:
    async def story(it: Running) -> None:
        old = {key["kid"] for key in (await published(it))["keys"]}
        await it.platform.keys.rotate(actor=ACTOR, at_once=True)
        await it.settle()
        assert old < {key["kid"] for key in (await published(it))["keys"]}
        it.clock.forward(LONGEST_TOKEN_SECONDS)
        assert len((await published(it))["keys"]) == 9
        it.clock.forward(600)
        assert len((await published(it))["keys"]) == 6
        keys = await it.platform.keys.rotate(actor=ACTOR)
        assert len(keys) == 9

    play(folder, story)


def test_every_rotation_is_recorded_with_its_actor(folder: Path) -> None:
    async def story(it: Running) -> None:
        keys = await it.platform.keys.rotate(actor=ACTOR, at_once=True)
        with sqlite3.connect(folder / "omnilab.db") as db:
            rows = [body for (body,) in db.execute("SELECT body FROM audit_records") if "keys:rotate" in body]
        assert len(rows) == 1
        assert '"os_user":"tester"' in rows[0]
        assert all(key.key_id in rows[0] for key in keys if key.status == "next")

    play(folder, story)


def test_the_jwks_is_cacheable_and_holds_no_private_half(folder: Path) -> None:
    async def story(it: Running) -> None:
        for host in ("id.example", "acme.api.example.com"):
            answer = await it.http.get(JWKS, headers={"Host": host})
            assert answer.headers["cache-control"] == "public, max-age=300"
            for key in answer.json()["keys"]:
                assert key.keys() <= {"kty", "kid", "use", "alg", "crv", "x", "y", "n", "e"}
                assert re.fullmatch(r"key_[0-9A-Za-z]{22}", key["kid"])
        for known in (answer.headers["etag"], f'"x", W/{answer.headers["etag"]}', "*"):
            again = await it.http.get(JWKS, headers={"If-None-Match": known})
            assert (again.status_code, again.content) == (304, b"")
        assert (await it.http.get(JWKS, headers={"If-None-Match": '"x"'})).status_code == 200
        assert (await it.http.head(JWKS)).content == b""

    play(folder, story)


def test_the_metadata_is_the_issuers_alone(folder: Path) -> None:
    path = "/.well-known/oauth-authorization-server"

    async def story(it: Running) -> None:
        found = (await it.http.get(path)).json()
        assert found["issuer"] == ISSUER
        assert found["token_endpoint"] == f"{ISSUER}/v1/oauth:token"
        assert found["jwks_uri"] == ISSUER + JWKS
        assert found["grant_types_supported"] == ["client_credentials"]
        answer = await it.http.get(path, headers={"Host": "acme.api.example.com"})
        assert answer.status_code == 404
        assert ISSUER in answer.json()["detail"]

    play(folder, story)


def test_private_keys_lie_sealed_and_open_under_their_master_key_alone(folder: Path) -> None:
    with sqlite3.connect(folder / "omnilab.db") as raw:
        sealed = [row[0] for row in raw.execute("SELECT sealed_private_key FROM signing_keys")]
        raw.execute("UPDATE signing_keys SET status = 'retired' WHERE algorithm = 'EdDSA'")

    async def story() -> None:
        db = SQLiteDatabase(folder / "omnilab.db")
        await db.start()
        try:
            with pytest.raises(SealBrokenError):
                await Keyring(db, MasterKey.parse(new_master_key_text()), StandingClock()).load()
            master_key = MasterKey.parse(MASTER_KEY.reveal())
            keyring = Keyring(db, master_key, StandingClock())
            with pytest.raises(UnavailableError):
                keyring.signer("ES256")
            await keyring.load()
            assert keyring.jwks() is keyring.jwks()
            signer = keyring.signer("ES256")
            await keyring.load()
            assert keyring.signer("ES256") is signer
            with pytest.raises(UnavailableError):
                keyring.signer("EdDSA")
        finally:
            await db.close()

    assert not any(b"PRIVATE" in each or each[:1] != b"\x01" for each in sealed)
    asyncio.run(story())


def test_the_service_moves_on_by_itself_when_keys_are_old(folder: Path) -> None:
    async def story(it: Running) -> None:
        keys = it.platform.keys
        before = {key["key_id"]: key["status"] for key in await keys.list_documents()}
        it.clock.forward(90 * 86_400 - 1)
        assert not await keys.rotate_when_due(90)
        it.clock.forward(1)
        assert await keys.rotate_when_due(90)
        after = {key["key_id"]: key["status"] for key in await keys.list_documents()}
        moved = {"next": "current", "current": "retired"}
        assert {key_id: after[key_id] for key_id in before} == {key_id: moved[was] for key_id, was in before.items()}
        assert not await keys.rotate_when_due(90)
        assert not await keys.rotate_when_due(1)  # the new next keys have been published for no day yet
        it.clock.forward(86_400)
        assert await keys.rotate_when_due(1)

    play(folder, story, key_rotation_days=None)


def test_of_several_processes_one_moves_on(folder: Path) -> None:
    async def story(it: Running) -> None:
        it.clock.forward(91 * 86_400)
        assert sorted(await asyncio.gather(*(it.platform.keys.rotate_when_due(90) for _ in range(3)))) == [
            False,
            False,
            True,
        ]

    play(folder, story, key_rotation_days=None)


def test_in_an_emergency_nothing_that_an_older_key_signed_counts(folder: Path) -> None:
    async def story(it: Running) -> None:
        client = await it.add_client("acme")

        async def whoami(token: str) -> Any:
            return await it.http.get("/v1/oauth:whoami", headers={"Authorization": f"Bearer {token}"})

        token = (await it.ask(client)).json()["access_token"]
        assert (await whoami(token)).status_code == 200
        old = {key["key_id"] for key in await it.platform.keys.list_documents() if key["status"] == "current"}
        await it.platform.keys.rotate(actor=ACTOR, at_once=True, revoke_old=True)
        await it.settle()
        answer = await whoami(token)
        assert (answer.status_code, answer.json()["code"]) == (401, "token_malformed")
        assert not old & {key["kid"] for key in (await published(it))["keys"]}
        assert (await whoami((await it.ask(client)).json()["access_token"])).status_code == 200
        assert {key["status"] for key in await it.platform.keys.list_documents() if key["key_id"] in old} == {"revoked"}

    play(folder, story)
