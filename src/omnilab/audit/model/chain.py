"""The chain that shows tampering: every record's link depends on all records before it, under a secret key.

Who can write the tables but lacks the key cannot make a link or a head that holds. Pure.
"""

from __future__ import annotations

from hmac import digest

from omnilab.crypto.keyed_digest import KeyedDigest

_HASH = "sha256"


class ChainKey:
    """The installation's chain key, and one key derived from it for each purpose."""

    __slots__ = ("_claims", "_cuts", "_heads", "_links", "_statements")

    def __init__(self, key: bytes) -> None:
        if len(key) != 32:
            raise ValueError(f"the chain key must be 32 bytes, this one has {len(key)}")
        self._links = KeyedDigest(digest(key, b"omnilab audit links", _HASH))  # set up once, for every record
        self._heads = digest(key, b"omnilab audit heads", _HASH)
        self._claims = digest(key, b"omnilab audit claims", _HASH)
        self._cuts = digest(key, b"omnilab audit cuts", _HASH)
        self._statements = digest(key, b"omnilab audit statements", _HASH)

    def origin(self, chain_id: str, started_at: int) -> bytes:
        """The link before a chain's first record."""
        return self._links(f"{chain_id}\0{started_at}".encode())

    def link(self, previous: bytes, key_columns: str, body: bytes) -> bytes:
        """A record's link. `key_columns` is made by `key_text`; `previous` is 32 bytes, so the parts cannot shift."""
        return self._links(previous + key_columns.encode() + body)

    def seal(self, chain_id: str, started_at: int, head: Head) -> bytes:
        """What stands in `audit_chains.head_seal`: an older or a made-up head does not pass for the newest."""
        position, head_at, link = head
        return digest(self._heads, f"{chain_id}\0{started_at}\0{position}\0{head_at}\0".encode() + link, _HASH)

    def seal_cut(self, chain_id: str, position: int, link: bytes) -> bytes:
        """What stands in `audit_cuts.seal`: only who has the key can say that records were let go of by retention."""
        return digest(self._cuts, f"{chain_id}\0{position}\0".encode() + link, _HASH)

    def statement_seed(self) -> bytes:
        """The private key (Ed25519, 32 bytes) that signs exports, so that a public key is enough to check one."""
        return self._statements

    def claim(self, text: str) -> str:
        """The HMAC under which an unproved claim is kept when its text may be a secret."""
        return digest(self._claims, text.encode(), _HASH).hex()[:32]

    def __repr__(self) -> str:
        return "ChainKey(**********)"


# A chain's newest position, the time of its newest record that is no checkpoint (ms), and the newest link.
Head = tuple[int, int, bytes]


def key_text(request_id: str, tenant_id: str, outcome: str) -> str:
    """The key columns of a record as the chain covers them; none of them can hold a NUL."""
    return f"{request_id}\0{tenant_id}\0{outcome}\0"
