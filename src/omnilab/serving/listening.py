"""The listening sockets: made and held by the parent, so that a backlog outlives the worker that served it."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import socket
import struct
import time
from collections.abc import Sequence

from omnilab.errors import ProvisioningError, UnavailableError

BACKLOG = 2048
# After a stop, for handshakes that have begun to come to their end: only then does the backlog hold all it will.
BACKLOG_SECONDS = 0.1
# A parent killed with -9 takes its workers with it, but the kernel needs a moment to free their sockets.
_PREDECESSOR_SECONDS = 1.0
_SO_ATTACH_FILTER = 26

Address = tuple[object, ...]  # as the socket module has it: host, port, and two more for IPv6


class CannotListenError(UnavailableError):
    """The address cannot be listened on; the words say why."""

    def __init__(self, code: str, words: str) -> None:
        super().__init__(words)
        self.code = code


class Listeners:
    """One listening socket for each worker, all on one address; the kernel spreads connections over them."""

    def __init__(self, host: str, port: int, workers: int) -> None:
        """Raises CannotListenError (the port is taken, the address is not ours) or ProvisioningError (no address)."""
        self.host = host
        self.port = port
        self._claim: socket.socket | None = None
        family, address = _resolve(host, port)
        deadline = time.monotonic() + _PREDECESSOR_SECONDS
        while True:
            try:
                self.sockets = self._open(family, address, workers)
                return
            except OSError as error:
                if error.errno != errno.EADDRINUSE or time.monotonic() > deadline:
                    raise _in_words(error, host, port) from None
                time.sleep(0.05)

    def _open(self, family: socket.AddressFamily, address: Address, workers: int) -> list[socket.socket]:
        with contextlib.ExitStack() as undo:
            first = undo.enter_context(_bound(family, address, shared=workers > 1))
            address = first.getsockname()  # where the port was 0, all workers share the one that was found
            claim = undo.enter_context(_claim(address)) if workers > 1 else None
            others = [undo.enter_context(_bound(family, address, shared=True)) for _ in range(workers - 1)]
            for each in (first, *others):
                each.listen(BACKLOG)
            undo.pop_all()
        self._claim, self.port = claim, int(str(address[1]))
        return [first, *others]

    def refuse_newcomers(self) -> None:
        """Let handshakes that have begun come to their end, and no new one begin: the backlog grows no more."""
        for each in self.sockets:
            with contextlib.suppress(OSError):  # without the filter, connections of one last moment may be reset
                _drop_syn(each)

    def close(self) -> None:
        for each in self.sockets:
            each.close()
        if self._claim is not None:
            self._claim.close()


def waiting_at(listener: socket.socket) -> int:
    """How many connections are in the backlog. Linux tells it of a listening socket in TCP_INFO's `tcpi_unacked`."""
    waiting: int = struct.unpack_from("I", listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 28), 24)[0]
    return waiting


def _resolve(host: str, port: int) -> tuple[socket.AddressFamily, Address]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError:
        raise ProvisioningError("host_unknown", f"{host} is no address of this machine.") from None
    family, _, _, _, address = found[0]
    return family, address


def _bound(family: socket.AddressFamily, address: Address, *, shared: bool) -> socket.socket:
    with contextlib.ExitStack() as undo:
        bound = undo.enter_context(socket.socket(family, socket.SOCK_STREAM))
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        bound.setblocking(False)
        bound.bind(address)
        undo.pop_all()
    return bound


def _claim(address: Address) -> socket.socket:
    """SO_REUSEPORT would let a second server of the same user join in silence; a name only one may hold prevents it."""
    with contextlib.ExitStack() as undo:
        claim = undo.enter_context(socket.socket(socket.AF_UNIX))
        claim.bind(f"\0omnilab-serve-{address[0]}-{address[1]}")
        undo.pop_all()
    return claim


def _in_words(error: OSError, host: str, port: int) -> CannotListenError:
    if error.errno == errno.EADDRINUSE:
        words = f"port {port} on {host} is taken by another program: choose another --port, or stop that program"
        return CannotListenError("port_taken", words)
    if error.errno == errno.EACCES:
        words = f"this user may not listen on port {port}: choose a --port above 1023"
        return CannotListenError("port_not_allowed", words)
    return CannotListenError("cannot_listen", f"cannot listen on {host} port {port}: {error.strerror}")


def _drop_syn(listener: socket.socket) -> None:
    """Attach a filter that drops connection requests (TCP's SYN) and passes everything else."""
    load_flags, jump_if_set, give_back = 0x30, 0x45, 0x06
    program: Sequence[tuple[int, int, int, int]] = (
        (load_flags, 0, 0, 13),
        (jump_if_set, 0, 1, 0x02),
        (give_back, 0, 0, 0),
        (give_back, 0, 0, 0xFFFF),
    )
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in program))
    listener.setsockopt(
        socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HxxxxxxP", len(program), ctypes.addressof(code))
    )
