"""Claims of refused requests: which client or tenant somebody said to be, without proof.

A claimed client id that is not in our own form may be a secret in the wrong field, so only its HMAC is kept; whoever
knows the tenant's own client ids can still recognise it. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import msgspec

from omnilab.audit.model.chain import ChainKey
from omnilab.audit.model.record import CLAIMED_CLIENT, CLAIMED_CLIENTS, CLAIMED_TENANT, COUNT, AuditRecord

# The mark of a client id that is a secret or token in the wrong field.
CREDENTIAL_AS_CLIENT_ID = "a-credential"
_CLIENT_ID = re.compile(r"cli_[0-9A-Za-z]{22}")


def client_mark(key: ChainKey, client_id: str) -> str:
    """What is kept of a claimed client id: itself, or its HMAC when an earlier system (or nobody) made it."""
    return client_id if _CLIENT_ID.fullmatch(client_id) else f"hmac:{key.claim(client_id)}"


def counted(marks: Mapping[str, int]) -> str:
    """Several marks with their counts, as one text."""
    return " ".join(f"{mark}={count}" for mark, count in marks.items())


class Claims:
    """What recognises a claim to be one tenant's, or one client's."""

    __slots__ = ("_clients", "_tenant")

    def __init__(self, key: ChainKey, *, tenant: str | None, client_ids: Iterable[str]) -> None:
        self._tenant = tenant
        self._clients = {client_mark(key, client_id): client_id for client_id in client_ids}

    def count(self, record: AuditRecord) -> int:
        """How many refusals of this record are claimed to be theirs; 0 = none."""
        details = record.details
        if CLAIMED_CLIENTS in details:
            marks = dict(part.rpartition("=")[::2] for part in str(details[CLAIMED_CLIENTS]).split())
            return sum(int(count) for mark, count in marks.items() if mark in self._clients)
        if self.client_of(record) is not None or (self._tenant and details.get(CLAIMED_TENANT) == self._tenant):
            return int(details.get(COUNT, 1))
        return 0

    def client_of(self, record: AuditRecord) -> str | None:
        """The one client a record claims, when it is one of theirs."""
        return self._clients.get(str(record.details.get(CLAIMED_CLIENT)))


def truer_cause(record: AuditRecord, known_as: tuple[str, str] | None) -> AuditRecord:
    """A failed authentication with what its answer kept from a stranger: was the client unknown, or the secret wrong?

    known_as: the client id and tenant key that the claim turned out to be, looked up only now: at the time of the
    request a look-up would have taken longer for a known client than for an unknown one.
    """
    mark = record.details.get(CLAIMED_CLIENT)
    if record.code != "client_authentication_failed" or mark is None:
        return record
    if mark == CREDENTIAL_AS_CLIENT_ID:
        found = "a secret or token in the place of the client_id"
    elif known_as is None:
        found = "a client_id that is unknown"
    else:
        found = f"the known client_id {known_as[0]} of {known_as[1]}, with a secret that is none of its secrets"
    return msgspec.structs.replace(record, found=found)
