"""The parent: forks the workers, replaces one that was killed or hangs, and stops them in order.

Promises: a replacement takes over its predecessor's socket with all that waits there; a worker that fails again and
again is started ever more slowly; one whose event loop has stood still for half a minute is killed; a second signal
ends everything at once. It has no thread and no event loop, for a fork copies only the thread that calls it.
"""

from __future__ import annotations

import ctypes
import os
import selectors
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import FrameType

import msgspec
import structlog

from omnilab.serving.listening import Listeners, waiting_at
from omnilab.serving.pulse import Pulse
from omnilab.serving.worker import DEFECT, Post, Report, work
from omnilab.settings import Settings
from omnilab.telemetry.metrics import MetricsBoard

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
DONE, REFUSED, UNAVAILABLE = 0, 1, 3
_BACK_OFF_SECONDS, _BACK_OFF_LIMIT_SECONDS = 0.1, 5.0
# A worker that has served for so long did not fail to start: its successor comes at once.
_SETTLED_SECONDS = 10.0
# A worker hangs when it was silent at so many looks. Looks are counted, not seconds: a machine that stands still, with
# the worker on it, takes none.
_LOOK_SECONDS, _SILENT_LOOKS = 5.0, 6
# Beyond the drain a worker still has to write what is in its buffers.
_GRACE_SECONDS = 10.0
_PR_SET_PDEATHSIG = 1

log = structlog.get_logger("omnilab.serving")


@dataclass(slots=True)
class _Worker:
    number: int
    pid: int = 0
    started: float = 0.0
    failures: int = 0
    start_at: float = 0.0
    report: int = -1
    heard: bytes = b""
    ready: bool = field(default=False)
    beats: int = 0
    silent_looks: int = 0


class Supervisor:
    """Runs one worker for each listening socket until told to stop."""

    def __init__(self, settings: Settings, listeners: Listeners, on_ready: Callable[[], None]) -> None:
        """`on_ready` is called once, when every worker answers."""
        self._settings = settings
        self._listeners = listeners
        self._on_ready = on_ready
        self._workers = [_Worker(number) for number in range(len(listeners.sockets))]
        self._board = MetricsBoard(len(self._workers))
        self._pulse = Pulse(len(self._workers))
        self._look_at = time.monotonic() + _LOOK_SECONDS
        self._selector = selectors.DefaultSelector()
        self._announced = False
        self._stopping = False
        self._forced = False
        self._kill_at = float("inf")
        self._failure: Report | None = None

    @property
    def failure(self) -> Report | None:
        """Why the workers could not start, where none of them ever did."""
        return self._failure

    def run(self) -> int:
        """Serve until a stop signal; returns the exit code."""
        signals_in, signals_out = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(signals_out, warn_on_full_buffer=False)
        for number in (*STOP_SIGNALS, signal.SIGCHLD):
            if signal.getsignal(number) != signal.SIG_IGN:  # so set by nohup, or by a shell for a background job
                signal.signal(number, _noted)
        self._selector.register(signals_in, selectors.EVENT_READ)
        while not (self._stopping and not any(worker.pid for worker in self._workers)):
            self._start_due()
            for key, _ in self._selector.select(self._pause()):
                if key.fd == signals_in:
                    self._heed(os.read(signals_in, 4096))
                else:
                    self._listen(key.data)
            self._reap()
            if time.monotonic() >= self._look_at:
                self._look()
            if time.monotonic() > self._kill_at:
                self._kill(signal.SIGKILL)
        self._listeners.close()
        if self._failure is not None:
            return REFUSED if self._failure.refused else UNAVAILABLE
        return REFUSED if self._forced else DONE  # forced: requests may have been cut

    def _pause(self) -> float:
        """Seconds until something is due by itself."""
        due = [worker.start_at for worker in self._workers if not worker.pid and not self._stopping]
        return max(0.0, min([*due, self._kill_at, self._look_at]) - time.monotonic())

    def _start_due(self) -> None:
        for worker in self._workers:
            if not worker.pid and not self._stopping and time.monotonic() >= worker.start_at:
                self._start(worker)

    def _start(self, worker: _Worker) -> None:
        ours, theirs = os.pipe2(os.O_CLOEXEC)
        parent = os.getpid()
        # No signal may arrive in the child before it has put its own handlers in place of its parent's.
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {*STOP_SIGNALS, signal.SIGCHLD})
        pid = os.fork()
        if pid == 0:
            os._exit(self._child(worker.number, parent, theirs))
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        os.close(theirs)
        worker.pid, worker.started, worker.report, worker.heard, worker.ready = pid, time.monotonic(), ours, b"", False
        self._selector.register(ours, selectors.EVENT_READ, worker)

    def _look(self) -> None:
        """Kill who hangs: its connections, and all who wait for its turn to write, would wait until somebody came."""
        self._look_at = time.monotonic() + _LOOK_SECONDS
        for worker in self._workers:
            beats = self._pulse.beats(worker.number)
            silent = worker.ready and beats == worker.beats and not self._stopping
            worker.silent_looks = worker.silent_looks + 1 if silent else 0
            worker.beats = beats
            if worker.silent_looks >= _SILENT_LOOKS:
                log.error("worker_hangs", worker=worker.number, pid=worker.pid)
                os.kill(worker.pid, signal.SIGKILL)

    def _child(self, number: int, parent: int, report_to: int) -> int:
        """In the forked worker: cut what ties it to its parent's work, then serve. Returns the exit code."""
        try:
            _die_with_parent(parent)
            signal.set_wakeup_fd(-1)
            self._selector.close()
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            # A terminal sends these to the whole group; only the parent decides what they mean.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGHUP, signal.SIGCHLD})
            for other, listener in enumerate(self._listeners.sockets):
                if other != number:
                    listener.close()
            post = Post(number, self._listeners.sockets[number], report_to, self._board, self._pulse)
            return work(self._settings, post)
        except (Exception, SystemExit):
            log.exception("worker_failed", worker=number)
            return DEFECT
        finally:
            sys.stdout.flush()
            sys.stderr.flush()

    def _listen(self, worker: _Worker) -> None:
        heard = os.read(worker.report, 65536)
        worker.heard += heard
        if heard and not worker.heard.endswith(b"\n"):
            return
        self._forget_report(worker)
        if not worker.heard:
            return
        report = msgspec.json.decode(worker.heard, type=Report)
        if report.code:
            self._give_up_or_note(report)
            return
        worker.ready = True
        if not (self._announced or self._stopping) and all(each.ready for each in self._workers):
            self._announced = True
            self._on_ready()

    def _give_up_or_note(self, report: Report) -> None:
        """A first start that fails ends everything, with the reason; a later one is tried again."""
        if self._stopping:
            return
        if self._announced:
            log.error("worker_cannot_start", code=report.code, reason=report.message)
            return
        self._failure = report
        self._stop()

    def _forget_report(self, worker: _Worker) -> None:
        if worker.report >= 0:
            self._selector.unregister(worker.report)
            os.close(worker.report)
            worker.report = -1

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            for worker in self._workers:
                if worker.pid == pid:
                    self._bury(worker, os.waitstatus_to_exitcode(status))

    def _bury(self, worker: _Worker, code: int) -> None:
        if worker.report >= 0:
            self._listen(worker)
        self._forget_report(worker)
        pid, worker.pid, worker.ready = worker.pid, 0, False
        if self._stopping:
            return
        if not self._announced and code == DEFECT:
            self._give_up_or_note(Report("internal_error", "A defect stopped a worker; its trace is on stderr."))
            return
        settled = time.monotonic() - worker.started > _SETTLED_SECONDS
        worker.failures = 0 if settled else worker.failures + 1
        wait = 0.0 if worker.failures < 2 else _BACK_OFF_SECONDS * 2 ** min(worker.failures, 10)
        worker.start_at = time.monotonic() + min(wait, _BACK_OFF_LIMIT_SECONDS)
        log.warning("worker_replaced", worker=worker.number, pid=pid, ended=_ending(code))

    def _heed(self, signals: bytes) -> None:
        for number in signals:
            if number not in STOP_SIGNALS:
                continue
            if self._stopping:
                self._forced = True
                self._kill(signal.SIGKILL)
            else:
                log.info("stopping", signal=signal.Signals(number).name)
                self._stop()

    def _stop(self) -> None:
        self._stopping = True
        self._kill_at = time.monotonic() + self._settings.drain_seconds + _GRACE_SECONDS
        self._listeners.refuse_newcomers()
        for worker, listener in zip(self._workers, self._listeners.sockets, strict=True):
            if not worker.pid and self._failure is None and waiting_at(listener):
                self._start(worker)  # for those alone who wait
        # Each worker now holds its socket alone: when it has taken the last waiting connection, the socket is gone.
        self._listeners.close()
        self._kill(signal.SIGTERM)

    def _kill(self, number: signal.Signals) -> None:
        for worker in self._workers:
            if worker.pid:
                os.kill(worker.pid, number)


def _die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when its parent ends, however that happens."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(DEFECT)


def _noted(number: int, frame: FrameType | None) -> None:
    """The wake-up descriptor carries the signal; a handler has to be there for that."""


def _ending(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"
