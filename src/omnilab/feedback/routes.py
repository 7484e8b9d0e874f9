"""HTTP of feedback: the call that a page's script makes."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from omnilab.feedback.service import FeedbackService
from omnilab.web.exchange import Exchange
from omnilab.web.operation import Operation
from omnilab.web.parameters import JsonReader
from omnilab.web.same_origin import refuse_other_sites

PATH = "/docs/feedback"


class SentFeedback(msgspec.Struct):
    """One reader's word. `website` is no field that a person sees: what fills it in is a machine."""

    page: Annotated[str, Meta(max_length=80, pattern="^[a-z0-9_/-]*$")]
    helpful: bool
    comment: Annotated[str, Meta(max_length=1000)] = ""
    website: Annotated[str, Meta(max_length=200)] = ""


_READER = JsonReader(SentFeedback)


def feedback_operation(feedback: FeedbackService) -> Operation:
    """The one call."""

    async def answer(exchange: Exchange) -> None:
        refuse_other_sites(exchange, "Feedback is given on the help centre's own pages only.")
        sent = await _READER.read(exchange)
        if not sent.website:
            await feedback.keep(
                sent.page, helpful=sent.helpful, comment=sent.comment.strip(), address=exchange.address_group
            )
        await exchange.answer(200, b'{"status":"received"}')

    return Operation(
        method="POST",
        path=PATH,
        operation_id="sendFeedback",
        handler=answer,
        summary="Say whether a help page helped",
        hidden=True,
        # Opens nothing and decides nothing, so it leaves no record: strangers could make as many as they like.
        any_host=True,
    )
