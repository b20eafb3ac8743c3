# SPDX-License-Identifier: Apache-2.0
"""Deliveries over HTTP: a source pushes rows and reads its receipts."""

from typing import Any

from flask import Response, request

from bureau import batches
from connectors import pushes
from connectors.schemas import PushSchema, ReceiptSchema, RejectPageSchema, TakenSchema
from kernel import auth, cursors, db
from kernel.errors import Invalid
from kernel.web import Blueprint, aside, json_response

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


def _row(cursor: str | None) -> int:
    """The row that a cursor stands for."""
    if cursor is not None and not (cursor.isascii() and cursor.isdigit() and len(cursor) < 19):
        raise Invalid("the cursor is not one that a list gave", errors={"cursor": ["unknown"]})
    return int(cursor or 0)
