"""Credentials of an earlier system: taken over as they are, once, and never written out again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from omnilab.crypto.client_secret import secret_digest
from tests.harness.databases import BOTH_ENGINES
from tests.tenancy.estate import ACTOR, PEPPER, Estate, refused, tell

pytestmark = BOTH_ENGINES

SECRET = "Legacy-s3cret/with+signs=="
GOOD = {
    "tenant": "acme",
    "client_id": "acme kiosk:01",
    "client_secret": SECRET,
    "audience": "",
    "allowed": "bookings:read bookings:cancel",
    "legacy_expires_at": "2030-12-31T00:00:00Z",
}


def json_lines(path: Path, *rows: Any) -> Path:
    file = path / "legacy.jsonl"
    file.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return file


def csv_file(path: Path, *lines: str) -> Path:
    file = path / "legacy.csv"
    file.write_text("tenant,client_id,client_secret,audience,allowed,legacy_expires_at\n" + "\n".join(lines) + "\n")
    return file


async def add(estate: Estate, file: Path) -> dict[str, Any]:
    return await estate.tenancy.imports.add_file(file, actor=ACTOR)


def text_and_mode(path: str) -> tuple[str, int]:
    return Path(path).read_text(), Path(path).stat().st_mode & 0o777


def rejects_of(file: Path) -> list[dict[str, Any]]:
    path = file.with_name(file.name + ".rejected.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_an_imported_credential_works_as_it_is_until_its_date(tmp_path: Path) -> None:
    async def story(estate: Estate) -> None:
        await estate.tenant("acme")
        done = await add(estate, json_lines(tmp_path, GOOD))
        assert (done["imported"], done["existing"], done["rejected"], done["rejected_file"]) == (1, 0, 0, None)
        client_id = GOOD["client_id"]
        await estate.feed.catch_up()
        found = await estate.snapshot.find_credential(client_id, secret_digest(PEPPER, client_id, SECRET))
        assert found is not None
        entry, secret = found
        assert (entry.client_id, entry.allowed) == (client_id, {"bookings:read", "bookings:cancel"})
        assert (secret.legacy, list(entry.audiences)) == (True, ["urn:omnilab:development:acme"])
        (listed,) = await estate.tenancy.secrets.list_all(client_id)
        assert (listed["legacy"], listed["expires_at"], listed["status"]) == (True, "2030-12-31T00:00:00Z", "live")
        assert not estate.db_holds(SECRET)

    tell(tmp_path, story)


def test_the_same_file_twice_changes_nothing(tmp_path: Path) -> None:
    async def story(estate: Estate) -> None:
        await estate.tenant("acme")
        file = csv_file(
            tmp_path, *(f"acme,old-{n},{SECRET}{n},,bookings:read;bookings:cancel,2030-12-31" for n in range(150))
        )
        assert (await add(estate, file))["imported"] == 150
        estate.clock.ms += 400 * 86_400_000  # even after they expired
        again = await add(estate, file)
        assert (again["imported"], again["existing"], again["rejected"]) == (0, 150, 0)
        assert len(await estate.tenancy.clients.list_all(tenant="acme")) == 150

    tell(tmp_path, story)


def test_a_second_secret_of_an_imported_client_is_added(tmp_path: Path) -> None:
    async def story(estate: Estate) -> None:
        for key in ("acme", "globex"):
            await estate.tenant(key)
        second = GOOD | {"client_secret": "another-one"}
        done = await add(estate, json_lines(tmp_path, GOOD, second))
        assert done["imported"] == 2
        assert len(await estate.tenancy.secrets.list_all(GOOD["client_id"])) == 2
        other_rights = GOOD | {"client_secret": "third", "allowed": "bookings:read"}
        elsewhere = GOOD | {"tenant": "globex"}
        file = json_lines(tmp_path, other_rights, elsewhere)
        assert (await add(estate, file))["rejected"] == 2
        assert "other grants" in rejects_of(file)[0]["reason"]
        assert "another tenant" in rejects_of(file)[1]["reason"]

    tell(tmp_path, story)


def test_bad_rows_are_told_without_their_secrets_and_good_ones_kept(tmp_path: Path) -> None:
    async def story(estate: Estate) -> None:
        await estate.tenant("acme")
        bad: list[Any] = [
            GOOD | {"tenant": "nobody"},
            GOOD | {"client_id": ""},
            GOOD | {"client_id": SECRET},  # the secret in the wrong column
            GOOD | {"client_id": "omni_dev_" + "a1B2c3D4e5" * 4},
            GOOD | {"client_secret": "omni_dev_short"},
            GOOD | {"client_secret": None},
            GOOD | {"client_secret": "line\nbreak"},
            GOOD | {"audience": "https://nowhere.example"},
            GOOD | {"audience": 7},
            GOOD | {"allowed": "bookings:everything"},
            GOOD | {"allowed": {"bookings:read": True}},
            GOOD | {"legacy_expires_at": "2020-01-01"},
            GOOD | {"legacy_expires_at": "soon"},
            GOOD | {"note": SECRET},
            "{not json " + SECRET,
            json.dumps([SECRET]),
        ]
        file = json_lines(tmp_path, *bad, "", GOOD | {"allowed": ["bookings:read"]})
        done = await add(estate, file)
        assert (done["imported"], done["rejected"]) == (1, len(bad))
        rejects = rejects_of(file)
        assert [each["line"] for each in rejects] == list(range(1, len(bad) + 1))
        text, mode = text_and_mode(done["rejected_file"])
        assert all(each["reason"] for each in rejects)
        for secret in (SECRET, "a1B2c3D4e5", "omni_dev_short", "break"):
            assert secret not in text
        assert rejects[0]["row"]["tenant"] == "nobody"
        assert mode == 0o600

    tell(tmp_path, story)


def test_a_clean_run_takes_the_old_reject_file_away(tmp_path: Path) -> None:
    async def story(estate: Estate) -> None:
        await estate.tenant("acme")
        file = json_lines(tmp_path, GOOD | {"tenant": "nobody"})
        await add(estate, file)
        assert len(rejects_of(file)) == 1
        json_lines(tmp_path, GOOD)
        await add(estate, file)
        assert rejects_of(file) == []

    tell(tmp_path, story)


def test_csv_rows_of_the_wrong_width_are_refused_whole(tmp_path: Path) -> None:
    async def story(estate: Estate) -> None:
        await estate.tenant("acme")
        file = csv_file(tmp_path, f"acme,{SECRET}", f"acme,a,{SECRET},,bookings:read,2030-12-31,{SECRET}")
        assert (await add(estate, file))["rejected"] == 2
        assert SECRET not in json.dumps(rejects_of(file))

    tell(tmp_path, story)


@pytest.mark.parametrize("content", [b"tenant,client_id\nacme,x\n", b"\xff\xfe\x00", b"", None])
def test_a_file_that_cannot_be_read_is_refused_as_a_whole(tmp_path: Path, content: bytes | None) -> None:
    async def story(estate: Estate) -> None:
        file = tmp_path / "legacy.csv"
        if content is not None:
            file.write_bytes(content)
        await refused("file_unreadable", add(estate, file))

    tell(tmp_path, story)


def test_outside_development_an_import_entitles_nobody(tmp_path: Path) -> None:
    async def story(estate: Estate) -> None:
        await estate.tenant("acme")
        file = json_lines(tmp_path, GOOD | {"allowed": "bookings:create"})
        assert (await add(estate, file))["rejected"] == 1
        assert "not entitled" in rejects_of(file)[0]["reason"]

    tell(tmp_path, story, environment="production")
