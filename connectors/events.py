# SPDX-License-Identifier: Apache-2.0
"""Consent events by polling: the outbox, read by those whom its messages are for."""

from typing import Any

import orjson

from consent.decision import grantees_of
from kernel import clock, cursors, db, outbox
from kernel.auth import Principal
from kernel.errors import Gone, Invalid, NotPermitted


def page(principal: Principal, cursor: str | None, limit: int) -> dict[str, Any]:
    """The next events for the caller's institution, oldest first, and the cursor to go on with.

    Whatever committed before this began is in this page or a later one, exactly once. Raises Gone (`events-gone`)
    where the cursor is older than what is kept, Invalid where it is none of ours.
    """
    if principal.institution is None:
        raise NotPermitted("only a client of an institution is told of consents", slug="not-an-institution")
    place = _place(cursor)
    outbox.settle_all()
    with db.reading() as reading:
        newest, oldest = outbox.last_place(reading), outbox.first_place(reading)
        found = outbox.after(reading, place or 0, grantees_of(principal.institution), limit)
    if place is not None and place < oldest - 1:
        raise Gone("events after this cursor were deleted: read GET /v1/consents, then begin anew", slug="events-gone")
    reached = found[-1].place if len(found) == limit else max(newest, place or 0)
    return {"events": [_event(each) for each in found if each.place <= reached], "next_cursor": _cursor(reached)}


def _event(message: outbox.Message) -> dict[str, Any]:
    told = {"id": message.id, "type": message.topic, "timestamp": clock.rfc3339(message.time)}
    return {**told, "data": orjson.loads(message.data)}


def _place(cursor: str | None) -> int | None:
    text = cursors.decode(cursor)
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise Invalid("the cursor is not one that a list gave", errors={"cursor": ["unknown"]})
    return int(text)


def _cursor(place: int) -> str:
    return cursors.encode(str(place))
