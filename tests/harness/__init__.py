"""The black-box harness: an installation, its command line and its server, as people meet them.

Knows nothing of the code inside: what it can do, an operator with a shell and a caller with HTTP can do.
"""

from __future__ import annotations

from tests.harness.command_line import CommandLine
from tests.harness.connections import CUT, Answer, Connection, connections_to_every_worker
from tests.harness.installation import Omnilab, booking_row
from tests.harness.ports import free_port
from tests.harness.server import Credentials, Server, bearer

__all__ = [
    "CUT",
    "Answer",
    "CommandLine",
    "Connection",
    "Credentials",
    "Omnilab",
    "Server",
    "bearer",
    "booking_row",
    "connections_to_every_worker",
    "free_port",
]
