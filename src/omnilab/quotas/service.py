"""Charging calls against quotas, and counting failed authentications.

Promises that a refused call costs nothing, neither of its own counter nor of the other one, and that all state is
bounded. With counters that all workers share (Redis) exactly the quota passes. Without them, and while they do not
answer, every worker counts for itself: at most workers × quota calls pass.
"""

from __future__ import annotations

from omnilab.clock import Clock
from omnilab.quotas.failures import ALLOWED, FailedAuthentications, FloodSummary, Verdict
from omnilab.quotas.model import (
    Header,
    Quota,
    QuotaExceededError,
    QuotaKind,
    QuotaLimits,
    QuotaSubject,
    policy_header,
    whole_seconds,
)
from omnilab.quotas.shared import SharedWindows
from omnilab.quotas.windows import MAX_WINDOWS, MemoryWindows, Window


class QuotaService:
    """The limits of one process.

    salt: 16 or more random bytes of this process (`omnilab.crypto.random.random_bytes`).
    max_windows: bound on the clients and tenants counted at a time, for tokens and for calls each.
    shared: the windows of all workers; those in memory then remember how they stood.
    """

    def __init__(
        self,
        limits: QuotaLimits,
        clock: Clock,
        *,
        salt: bytes,
        max_windows: int = MAX_WINDOWS,
        shared: SharedWindows | None = None,
    ) -> None:
        self.shared = shared
        self._limits = limits
        self._clock = clock
        self._windows: dict[QuotaKind, MemoryWindows] = {
            "token": MemoryWindows(max_windows),
            "api": MemoryWindows(max_windows),
        }
        self._failures = FailedAuthentications(
            per_client=limits.failed_per_client_per_minute,
            per_address=limits.failed_per_address_per_minute,
            salt=salt[:64],  # BLAKE2b's longest key
        )

    async def charge(self, kind: QuotaKind, subject: QuotaSubject) -> tuple[Header, ...]:
        """Count one call of a proved client; the headers that its answer carries, none where nothing is limited.

        Raises QuotaExceededError when its quota or its tenant's is used up.
        """
        client_quota, tenant_quota = self._limits.of_call(kind, subject)
        if client_quota is None and tenant_quota is None:
            return ()
        now, windows = self._clock.monotonic(), self._windows[kind]
        client = None if client_quota is None else windows.take(subject.client_id, client_quota, now)
        tenant = None if tenant_quota is None else windows.take(subject.tenant.tenant_id, tenant_quota, now)
        if self.shared is None or (passes := await self.shared.charge(kind, _owned(subject, client, tenant))) is None:
            passes = _charge_here(client, tenant)
        else:
            now = self._clock.monotonic()
        headers = (policy_header(client_quota, tenant_quota), _standing_header(client, tenant, now))
        if passes:
            return headers
        raise _exceeded(kind, client, tenant, now=now, headers=headers)

    async def peek(self, subject: QuotaSubject) -> dict[str, dict[str, dict[str, int] | None]]:
        """How the quotas of a client stand, without counting: `{"token": {"client": {…}, "tenant": {…}}, "api": …}`.

        Each has `limit`, `window_seconds`, `remaining` and `resets_in_seconds`; null where nothing is limited.
        """
        return {kind: await self._states(kind, subject) for kind in ("token", "api")}

    async def _states(self, kind: QuotaKind, subject: QuotaSubject) -> dict[str, dict[str, int] | None]:
        now, windows, tenant_id = self._clock.monotonic(), self._windows[kind], subject.tenant.tenant_id
        client_quota, tenant_quota = self._limits.of_call(kind, subject)
        if self.shared is not None:
            client = None if client_quota is None else windows.take(subject.client_id, client_quota, now)
            tenant = None if tenant_quota is None else windows.take(tenant_id, tenant_quota, now)
            await self.shared.look(kind, _owned(subject, client, tenant))
            now = self._clock.monotonic()
        return {
            "client": self._state(kind, subject.client_id, client_quota, now),
            "tenant": self._state(kind, tenant_id, tenant_quota, now),
        }

    def _state(self, kind: QuotaKind, key: str, quota: Quota | None, now: float) -> dict[str, int] | None:
        if quota is None:
            return None
        window = self._windows[kind].find(key, quota, now)
        return {
            "limit": quota.amount,
            "window_seconds": quota.window_seconds,
            "remaining": quota.amount if window is None else window.remaining,
            "resets_in_seconds": quota.window_seconds if window is None else whole_seconds(window.closes_at - now),
        }

    async def failed_authentication(self, address: str, client_id: str) -> Verdict:
        """Count a wrong secret. address: as `Exchange.address_group` has it; client_id: as claimed.

        A verdict that is `refused` is answered 429 and not recorded singly: it stands in the summary.
        """
        if not self._failures.is_on:
            return ALLOWED
        clock = self._clock
        now, now_ms = clock.monotonic(), clock.now_ms()
        counts, seconds_left = self._failures.count(address, client_id, now=now)
        if self.shared is not None:
            counts, seconds_left = await self.shared.failed(address, client_id) or (counts, seconds_left)
        return self._failures.judge((address, client_id), counts, seconds_left=seconds_left, now=now, now_ms=now_ms)

    def authenticated(self, address: str, client_id: str) -> None:
        """A right secret came: what failed before for this address and client no longer counts."""
        if self._failures.is_on:
            self._failures.forgive(address, client_id, now=self._clock.monotonic())
            if self.shared is not None:
                self.shared.forgive(address, client_id)

    def take_flood(self, *, finished_only: bool = True) -> FloodSummary | None:
        """The refusals by 429 of the minute that is over, for one audit record; with False also of the current one.

        To be asked once a second, and with False once at stop.
        """
        return self._failures.take_flood(now=self._clock.monotonic(), finished_only=finished_only)


def _owned(subject: QuotaSubject, client: Window | None, tenant: Window | None) -> dict[str, Window]:
    named = ((subject.client_id, client), (subject.tenant.tenant_id, tenant))
    return {whose: window for whose, window in named if window is not None}


def _charge_here(client: Window | None, tenant: Window | None) -> bool:
    """Count one call where neither window is full: what one refuses must not use up the other."""
    if (client is not None and client.count >= client.quota.amount) or (
        tenant is not None and tenant.count >= tenant.quota.amount
    ):
        return False
    if client is not None:
        client.count += 1
    if tenant is not None:
        tenant.count += 1
    return True


def _standing_header(client: Window | None, tenant: Window | None, now: float) -> Header:
    """`RateLimit`: what remains (`r`) and the whole seconds until the window closes (`t`), by quota."""
    if client is not None and tenant is not None:
        states = client.standing(now) + tenant.standing(now)
        return b"ratelimit", b'"client";r=%d;t=%d, "tenant";r=%d;t=%d' % states
    scope, window = (b"client", client) if client is not None else (b"tenant", tenant)
    assert window is not None
    return b"ratelimit", b'"%b";r=%d;t=%d' % (scope, *window.standing(now))


def _exceeded(
    kind: QuotaKind, client: Window | None, tenant: Window | None, *, now: float, headers: tuple[Header, ...]
) -> QuotaExceededError:
    """The refusal by the counter that stays closed longest, so that its Retry-After is enough for both."""
    full = [(window.closes_at, whose, window) for whose, window in (("client", client), ("tenant", tenant)) if window]
    closes_at, whose, window = max(each for each in full if each[2].remaining == 0)
    return QuotaExceededError(kind, window.quota, whose=whose, seconds=closes_at - now, headers=headers)
