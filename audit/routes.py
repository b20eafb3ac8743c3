# SPDX-License-Identifier: Apache-2.0
"""The trail, read by those whom it concerns."""

from typing import Any

from flask import Response

from audit import review
from audit.schemas import AccessLogSchema, PageSchema
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
        page = review.access_log(reading, uscc, cursors.decode(asked.get("cursor")), asked["limit"])
    next_cursor = cursors.encode(page[-1]["query_id"]) if len(page) == asked["limit"] else None
    return json_response({"entries": page, "next_cursor": next_cursor})
