# SPDX-License-Identifier: Apache-2.0
"""Deliveries over HTTP: a source pushes rows and reads its receipts."""

from typing import Any

from flask import Response, request

from bureau import batches, catalogue
from connectors import pushes, watch
from connectors.schemas import FeedListSchema, PushSchema, ReceiptSchema, RejectPageSchema, TakenSchema
from kernel import auth, cursors, db
from kernel.bodies import aside
from kernel.errors import Invalid, NotFound, NotPermitted
from kernel.web import Blueprint, json_response

NDJSON = ("application/x-ndjson", "application/jsonl")

blp = Blueprint("deliveries", __name__, url_prefix="/v1", description="Deliver records, read receipts")


@blp.route("/batches", methods=["POST"])
@blp.requires("batch:write")
@blp.arguments(PushSchema(), location="query")
@blp.streams(NDJSON, pushes.MOST_BYTES)
@blp.response(202, TakenSchema)
def deliver(asked: dict[str, Any]) -> Response:
    """Deliver rows: NDJSON, one object a line whose keys are the feed's columns, plain or gzip.

    The same body again is the same delivery: it gives the first batch.
    """
    told = request.headers.get("Content-Encoding"), request.headers.get("Content-Digest")
    body = pushes.Body(request.stream, request.content_length, *told)
    receipt = pushes.receive(asked["feed"], auth.caller(), body, aside)
    return json_response({"batch": receipt.batch}, 202, Location=f"/v1/batches/{receipt.batch}")


@blp.route("/batches/<batch_id>")
@blp.requires("batch:write")
@blp.arguments(RejectPageSchema(), location="query")
@blp.response(200, ReceiptSchema)
def show_batch(asked: dict[str, Any], batch_id: str) -> Response:
    """The receipt of one of the caller's own deliveries, with a page of its rejected rows."""
    after, source = _row(cursors.decode(asked.get("cursor"))), auth.caller().source or ""
    with db.reading() as reading:
        document = batches.document(reading, batch_id, source, after, asked["limit"])
    last = document.pop("last_row")
    return json_response({**document, "next_cursor": cursors.encode(str(last)) if last else None})


@blp.route("/sources/<code>/feeds")
@blp.requires(auth.ANY_SCOPE)
@blp.response(200, FeedListSchema)
def show_feeds(code: str) -> Response:
    """How a source's feeds are: when they are due, what came last, what is wrong. For itself and administrators."""
    by = auth.caller()
    if by.source != code and "admin" not in by.scopes:
        raise NotPermitted("only the source itself and administrators see its feeds", slug="not-permitted")
    if code not in catalogue.current().sources:
        raise NotFound(f"the catalogue has no source {code}")
    with db.reading() as reading:
        return json_response({"feeds": watch.status(reading, code)})


def _row(cursor: str | None) -> int:
    """The row that a cursor stands for."""
    if cursor is not None and not (cursor.isascii() and cursor.isdigit() and len(cursor) < 19):
        raise Invalid("the cursor is not one that a list gave", errors={"cursor": ["unknown"]})
    return int(cursor or 0)
