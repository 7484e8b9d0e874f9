"""Several nodes of one installation on a real PostgreSQL, each a server of its own, on loopback."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.harness import Omnilab, Server
from tests.harness.postgresql import PostgreSQL

NODES = 3


@dataclass(frozen=True, slots=True)
class Cluster:
    """One database, its installation as an operator's machine sees it, and one installed program a node."""

    postgresql: PostgreSQL
    database_url: str
    operator: Omnilab
    nodes: list[Omnilab]

    def node(self, number: int, **settings: str) -> Omnilab:
        return _member(self.operator, self.operator.directory.parent / f"node-{number}", **settings)

    @contextmanager
    def serving(self, **settings: str) -> Iterator[list[Server]]:
        """All nodes, until the block ends."""
        with ExitStack() as stack:
            yield [stack.enter_context(node.serve(**settings)) for node in self.nodes]


@contextmanager
def cluster_in(folder: Path, *, place: Path | None = None, **settings: str) -> Iterator[Cluster]:
    """A PostgreSQL whose commits wait for the disk, initialised, with nodes that are not started yet.

    place: where its files lie; by default in a directory of its own.
    """
    # Not in pytest's own folders: those are closed to the user that PostgreSQL runs as.
    own = tempfile.TemporaryDirectory(prefix="omnilab-cluster-")
    # A small log, so that a small disk is enough.
    postgresql = PostgreSQL(place or Path(own.name), max_wal_size="96MB", min_wal_size="32MB").start()
    try:
        url = postgresql.create_database()
        (folder / "operator").mkdir()
        operator = Omnilab(folder / "operator", database_url=url, **settings).init()
        nodes = [_member(operator, folder / f"node-{number}") for number in range(NODES)]
        yield Cluster(postgresql, url, operator, nodes)
    finally:
        postgresql.remove()
        own.cleanup()


def _member(operator: Omnilab, folder: Path, **settings: str) -> Omnilab:
    """The same installation on another machine: same database, same issuer, same master key, a port of its own."""
    folder.mkdir(exist_ok=True)
    key = operator.directory / ".omnilab/master.key"
    return Omnilab(folder, **(operator.settings | {"master_key_file": str(key)} | settings))
