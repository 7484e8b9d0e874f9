"""Backups: one file that holds an installation as it was at one moment, whichever engine it runs on.

The file is an embedded database, self-describing and verified when it is made and again when it is restored. What is
restored may have been revoked since: the database is marked, and nothing serves it before it is reconciled.
It holds every key sealed and no master key: without that it opens nothing, and is worth nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import msgspec

from omnilab.errors import ProvisioningError
from omnilab.storage.copying import BACKUP, TableCopy, Terms, copy_database
from omnilab.storage.sides import failures, open_side

#: The value in `installation` that keeps a restored database from being served.
AWAITS_RECONCILE = "awaits_reconcile"


class Restored(msgspec.Struct, frozen=True):
    """Since when changes are missing (`taken_at`), and when it was restored; milliseconds since 1970 UTC."""

    taken_at: int
    restored_at: int


class Description(msgspec.Struct, frozen=True):
    """What a backup says of itself."""

    taken_at: int
    tables: list[TableCopy]


async def back_up(url: str, file: Path, *, now_ms: int, advance: Callable[[int], None] = lambda _: None) -> Description:
    """Write a backup of a database to a new file, while others write to the database.

    Raises ProvisioningError `file_exists` or `file_not_written`, what `copy_database` raises, and UnavailableError.
    """
    part = _part_of(file)
    terms = Terms(
        values=lambda tables: {BACKUP: msgspec.json.encode(Description(now_ms, tables)).decode()}, as_backup=True
    )
    try:
        copied = await copy_database(url, _url_of(part), terms, advance=advance)
        _to_disk(part)
        part.rename(file)
        _to_disk(file.parent)
    except OSError as error:
        raise ProvisioningError("file_not_written", f"{file} cannot be written: {error.strerror}.") from error
    finally:
        for left in file.parent.glob(f"{part.name}*"):
            left.unlink(missing_ok=True)
    return Description(now_ms, copied)


def _part_of(file: Path) -> Path:
    if file.exists():
        raise ProvisioningError("file_exists", f"{file} is there already: name a new file, or move it away.")
    part = file.with_name(file.name + ".part")
    part.unlink(missing_ok=True)
    return part


def _url_of(file: Path) -> str:
    return f"sqlite:///{file.absolute()}"


def _to_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


async def restore(file: Path, url: str, *, now_ms: int, advance: Callable[[int], None] = lambda _: None) -> Description:
    """Put a backup into an empty database and mark it as one that must be reconciled.

    Raises ProvisioningError `file_not_read` or `backup_damaged`, what `copy_database` raises, and UnavailableError.
    """
    described = await describe(file)
    mark = msgspec.json.encode(Restored(described.taken_at, now_ms)).decode()
    terms = Terms(values=lambda _: {AWAITS_RECONCILE: mark}, expected=described.tables, moves_on=True)
    await copy_database(_url_of(file), url, terms, advance=advance)
    return described


async def describe(file: Path) -> Description:
    """What a backup says of itself. Raises ProvisioningError `file_not_read`."""
    try:
        async with open_side(_url_of(file), writable=False) as side:
            [(text,)] = await side.fetch(f"SELECT value FROM installation WHERE name = '{BACKUP}'")  # noqa: S608
        return msgspec.json.decode(text, type=Description)
    except failures() as error:
        raise _not_read(file, error) from error
    except msgspec.MsgspecError as error:
        raise _not_read(file, error) from error


def _not_read(file: Path, error: BaseException) -> ProvisioningError:
    words = f"{file} is not a backup that omnilab db backup made, or it is damaged ({type(error).__name__})."
    return ProvisioningError("file_not_read", words)
