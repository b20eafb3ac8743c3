# SPDX-License-Identifier: Apache-2.0
"""The trail, read by those whom it concerns."""

from typing import Any

from flask import Response

from audit import review, trail
from audit.schemas import AccessLogSchema, EntryListSchema, PageSchema
from kernel import auth, cursors, db
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
@blp.arguments(PageSchema(), location="query")
@blp.response(200, EntryListSchema)
def list_entries(asked: dict[str, Any]) -> Response:
    """Everything on the trail, newest first; that it was looked at is an entry too."""
    before = cursors.decode(asked.get("cursor"))
    with trail.recording(only_the_entry=True) as tx:
        page, last = review.all_entries(tx, before, asked["limit"])
        review.record_view(tx, auth.caller(), "audit-entries", len(page), {"before": before, "limit": asked["limit"]})
    return _paged(page, last)


def _paged(page: list[dict[str, Any]], last: str | None) -> Response:
    return json_response({"entries": page, "next_cursor": cursors.encode(last) if last else None})
