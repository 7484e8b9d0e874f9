"""Exports: every record as JSON lines, written down while the chains are verified, and signed.

Promises that a file is whole or not there, that it says itself whether the chains held when it was made, and that it
can be checked with a public key alone, on a machine that knows no secret of ours.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from omnilab.audit.model.chain import ChainKey
from omnilab.audit.model.export import FORMAT, Examination, Examiner, Lines, faults_of
from omnilab.audit.model.walk import Cut
from omnilab.audit.service.verification import Verification, Verifier
from omnilab.audit.store.chains import ChainedRow, ChainHead, Chains
from omnilab.crypto.statement import StatementSigner, StatementVerifier
from omnilab.errors import ProvisioningError


class _Writer:
    """Writes what the verifier walks."""

    def __init__(self, file: BinaryIO, lines: Lines) -> None:
        self._file = file
        self._lines = lines
        self._chain_id = ""

    def begin_chain(self, chain_id: str, started_at: int | None, cut: Cut | None) -> None:
        self._chain_id = str(chain_id)
        where = None if cut is None else {"position": cut.position, "link": _hex(cut.link)}
        self._write("chain", chain_id=self._chain_id, started_at=started_at, cut=where)

    def take_rows(self, rows: Sequence[ChainedRow]) -> None:
        for row in rows:
            self._write(
                "record",
                chain_id=self._chain_id,
                position=row.position,
                tenant_id=str(row.tenant_id),
                request_id=str(row.request_id),
                outcome=str(row.outcome),
                link=_hex(row.link),
                record=_body(row.body),
            )

    def end_chain(self, head: ChainHead | None) -> None:
        if head is not None:
            self._write("head", chain_id=self._chain_id, position=head.head_position, at=head.head_at)

    def _write(self, kind: str, **members: Any) -> None:
        self._file.write(self._lines.line(kind, **members))


def _body(body: bytes) -> msgspec.Raw | str:
    """The record's own JSON, byte for byte; as a text where it was tampered with beyond reading."""
    try:
        msgspec.json.decode(body)
    except msgspec.DecodeError:
        return body.decode("utf-8", "replace")
    return msgspec.Raw(body)


def _hex(link: object) -> str:
    return link.hex() if isinstance(link, bytes) else str(link)


class Exporter:
    """Writes exports of one installation."""

    def __init__(self, chains: Chains, key: ChainKey) -> None:
        self._chains = chains
        self._key = key
        self._signer = StatementSigner(key.statement_seed())

    @property
    def public_key(self) -> str:
        """What checks this installation's exports (Ed25519, base64url)."""
        return self._signer.public_key

    async def write(
        self, path: Path, about: Mapping[str, Any], *, advance: Callable[[int], None] = lambda _: None
    ) -> Verification:
        """Write all records to a new file; `about` goes into its first line. Returns what verifying them found.

        Raises ProvisioningError `file_exists` or `file_not_written`, and UnavailableError.
        """
        with new_file(path) as file:
            lines = Lines(self._signer)
            file.write(lines.line("begin", format=FORMAT, **about, public_key=self.public_key))
            verifier = Verifier(self._chains, self._key, advance=advance, listener=_Writer(file, lines))
            result = await verifier.verify()
            file.write(lines.seal("end", **result.document()))
        return result


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """A file of mode 0600 that appears under its name only once it is whole and on disk."""
    part = path.with_name(path.name + ".part")
    try:
        if path.exists():
            raise ProvisioningError("file_exists", f"{path} is there already: name a new file, or move it away.")
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.rename(path)
    except OSError as error:
        raise ProvisioningError("file_not_written", f"{path} cannot be written: {error.strerror}.") from error
    finally:
        part.unlink(missing_ok=True)


def examine_file(path: Path, public_key: str, *, earlier: Path | None = None) -> Examination:
    """Check an export with nothing but itself and a public key, and an earlier one kept elsewhere if there is one.

    Raises ProvisioningError `public_key_invalid`, `file_not_read` or `earlier_not_intact`.
    """
    try:
        verifier = StatementVerifier(public_key)
    except ValueError:
        message = "The public key is the text that omnilab audit public-key prints: 43 characters of base64url."
        raise ProvisioningError("public_key_invalid", message) from None
    ends = None
    if earlier is not None:
        before = _examined(earlier, Examiner(verifier))
        if before.faults:
            message = f"{earlier} is not as it was written ({before.faults[0].meaning}): it proves nothing."
            raise ProvisioningError("earlier_not_intact", message)
        ends = before.ends
    return _examined(path, Examiner(verifier, ends))


def _examined(path: Path, examiner: Examiner) -> Examination:
    try:
        with path.open("rb") as file:
            return examiner.examine(file)
    except OSError as error:
        raise ProvisioningError("file_not_read", f"{path} cannot be read: {error.strerror}.") from error


def examination_document(found: Examination) -> dict[str, Any]:
    """What `audit verify-export --json` prints."""
    said = {name: found.end.get(name) for name in ("intact", "findings", "more_findings")}
    return {
        "intact": found.intact,
        "lines": found.lines,
        "records": found.records,
        "chains": found.chains,
        "environment": found.about.get("environment"),
        "issuer": found.about.get("issuer"),
        "exported_at": found.about.get("exported_at"),
        "file_intact": not found.faults,
        "chains_intact": said["intact"],
        "faults": list(faults_of(found)),
        "more_faults": found.more_faults,
        "findings": said["findings"] or [],
        "more_findings": said["more_findings"] or 0,
    }
