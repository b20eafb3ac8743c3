# SPDX-License-Identifier: Apache-2.0
"""The trail, read by those whom it concerns."""

from typing import Any

from flask import Response

from audit import review, search, trail
from audit.schemas import AccessLogSchema, EntryListSchema, FilterSchema, PageSchema
from kernel import auth, clock, cursors, db
from kernel.errors import NotPermitted
from kernel.web import Blueprint, json_response

blp = Blueprint("audit", __name__, url_prefix="/v1", description="Who asked, and why")


@blp.route("/enterprises/<uscc>/access-log")
@blp.requires("self:read")
@blp.arguments(PageSchema(), location="query")
@blp.response(200, AccessLogSchema)
def show_access_log(asked: dict[str, Any], uscc: str) -> Response:
    """Who asked about one's own enterprise, newest first, refusals and replays included."""
    if auth.caller().uscc != uscc:
        raise NotPermitted("an enterprise reads its own access log only", slug="not-your-enterprise")
    with db.reading() as reading:
        page, last = review.access_log(reading, uscc, cursors.decode(asked.get("cursor")), asked["limit"])
    return _paged(page, last)


@blp.route("/audit/entries")
@blp.requires("audit:read")
@blp.arguments(FilterSchema(), location="query")
@blp.response(200, EntryListSchema)
def list_entries(asked: dict[str, Any]) -> Response:
    """Everything on the trail that fits all filters, newest first; that it was looked at is an entry too."""
    cursor, limit = cursors.decode(asked.pop("cursor", None)), asked.pop("limit")
    with trail.recording() as tx:
        place = search.place_of(cursor) if cursor else search.place_now(tx)
        page, more = review.found(tx, asked, place, limit)
        review.record_view(tx, auth.caller(), "audit-entries", len(page), _told(asked, place, limit))
    return json_response(
        {"entries": page, "size": place.size, "next_cursor": cursors.encode(str(more)) if more else None}
    )


def _told(asked: dict[str, Any], place: search.Place, limit: int) -> dict[str, Any]:
    times = {name: clock.rfc3339(asked[key]) for name, key in (("from", "since"), ("to", "until")) if key in asked}
    before = place.before if place.before != search.ABOVE_ALL else None
    named = {name: value for name, value in asked.items() if name not in ("since", "until")}
    return {**named, **times, "before": before, "limit": limit}


def _paged(page: list[dict[str, Any]], last: str | None) -> Response:
    return json_response({"entries": page, "next_cursor": cursors.encode(last) if last else None})
