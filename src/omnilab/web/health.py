"""`/healthz`: the process answers. `/readyz`: it can decide, that is, its services say so. `/metrics` in development.

Both answer on any host, because load balancers ask by address. They tell nothing about why.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from omnilab.telemetry.metrics import CONTENT_TYPE as METRICS_TYPE
from omnilab.web.exchange import Exchange
from omnilab.web.operation import Operation

Ready = Callable[[], Awaitable[bool]]


def health_operations(ready: Ready) -> list[Operation]:
    """The two health calls. `ready` is asked on each `/readyz`; a failure of it counts as not ready."""

    async def healthz(exchange: Exchange) -> None:
        await exchange.answer(200, b'{"status":"ok"}')

    async def readyz(exchange: Exchange) -> None:
        if await _answers(ready):
            await exchange.answer(200, b'{"status":"ready"}')
        else:
            await exchange.answer(503, b'{"status":"not_ready"}', headers=[(b"retry-after", b"1")])

    return [
        Operation(
            method="GET",
            path=path,
            operation_id=name,
            handler=handler,
            summary=summary,
            hidden=True,
            any_host=True,
        )
        for path, name, handler, summary in (
            ("/healthz", "healthz", healthz, "The process answers"),
            ("/readyz", "readyz", readyz, "The process can decide"),
        )
    ]


def metrics_operation(render: Callable[[], bytes]) -> Operation:
    """`GET /metrics` on the public port, for development. Elsewhere metrics have a port of their own, or none."""

    async def metrics(exchange: Exchange) -> None:
        await exchange.answer(200, render(), content_type=METRICS_TYPE)

    return Operation(
        method="GET",
        path="/metrics",
        operation_id="metrics",
        handler=metrics,
        summary="Figures in Prometheus' format",
        hidden=True,
        any_host=True,
    )


async def _answers(ready: Ready) -> bool:
    try:
        return await ready()
    except Exception:  # noqa: BLE001 - not knowing is not being ready
        return False
