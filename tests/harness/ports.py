"""Free loopback ports for servers under test."""

from __future__ import annotations

import itertools
import os
import socket

# Below Linux's ephemeral range (32768…), so that no outgoing connection takes the port between the look and the use.
_FIRST, _COUNT = 20_000, 12_000
_numbers = itertools.count(os.getpid() * 101)


def free_port() -> int:
    """Return a port of 127.0.0.1 that nothing listens on now and that this process has not handed out lately."""
    for number in itertools.islice(_numbers, _COUNT):
        port = _FIRST + number % _COUNT
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError("no loopback port is free")
