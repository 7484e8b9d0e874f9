"""HTTP of tenancy: opening a hand-off link. The browser rule's one exception: here a browser is expected."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from omnilab.crypto.secret import Secret
from omnilab.tenancy.service.hand_offs import PATH, HandOffs
from omnilab.web.exchange import Exchange
from omnilab.web.operation import Operation
from omnilab.web.parameters import JsonReader
from omnilab.web.same_origin import refuse_other_sites


class OpenHandOff(msgspec.Struct):
    """The link's id from its path and the claim from its fragment, which no browser sends by itself."""

    hand_off_id: Annotated[str, Meta(min_length=1, max_length=64)]
    claim: Annotated[str, Meta(min_length=1, max_length=128)]


_READER = JsonReader(OpenHandOff)


def hand_off_operation(hand_offs: HandOffs) -> Operation:
    """The call that the page's script makes on a click."""

    async def answer(exchange: Exchange) -> None:
        refuse_other_sites(exchange, "A link is opened on its own page only; open the link itself in the browser.")
        asked = await _READER.read(exchange)
        opened = await hand_offs.open(
            asked.hand_off_id, Secret(asked.claim), address=exchange.address, request_id=exchange.request_id
        )
        await exchange.answer(200, msgspec.json.encode(opened))

    return Operation(
        method="POST",
        path=PATH,
        operation_id="openHandOff",
        handler=answer,
        summary="Open a hand-off link",
        durable_refusals=True,
        hidden=True,
    )
