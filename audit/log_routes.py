# SPDX-License-Identifier: Apache-2.0
"""The log for whoever wants to check it: checkpoint and tiles (C2SP tlog-tiles), and receipts for the parties."""

import re

from flask import Response
from marshmallow import Schema, fields

from audit import log, merkle, receipts, review, tiles
from kernel import auth, db
from kernel.errors import Gone, NotFound
from kernel.web import Blueprint, json_response

blp = Blueprint("log", __name__, description="The transparency log: hashes only")
_TILE = re.compile(r"(0|[1-9]\d?)/((?:x\d{3}/)*\d{3})(?:\.p/([1-9]\d{0,2}))?")
RETRY_AFTER_S = 1


class PendingSchema(Schema):
    status = fields.String(required=True)


@blp.route("/log/checkpoint")
@blp.public
@blp.response(200, content_type="text/plain; charset=utf-8")
def show_checkpoint() -> Response:
    """The newest checkpoint: how large the log is and what it holds, signed (C2SP tlog-checkpoint).

    Where witnesses are asked, the newest that a quorum of them cosigned, with their lines.
    """
    with db.reading() as reading:
        head = log.shown(reading)
    if head is None:
        raise NotFound("nothing is sealed yet, or not witnessed")
    return _text(head.note, "text/plain; charset=utf-8", "no-cache")


@blp.route("/log/tile/<path:place>")
@blp.public
@blp.response(200, content_type="application/octet-stream")
def show_tile(place: str) -> Response:
    """A tile of the Merkle tree: up to 256 hashes (C2SP tlog-tiles). Entries are not served here."""
    found = _TILE.fullmatch(place)
    if found is None:
        raise NotFound("no such tile: tile/<level>/<number>[.p/<width>]")
    number = int(found[2].replace("x", "").replace("/", ""))
    tile = tiles.Tile(int(found[1]), number, int(found[3] or tiles.WIDTH))
    if tile.path != f"tile/{place}" or tile.width > tiles.WIDTH:
        raise NotFound("no such tile: numbers are written in groups of three digits")
    with db.reading() as reading:
        content = log.load_tile(reading, tile.level, tile.number)
    wanted = tile.width * merkle.HASH_BYTES
    if len(content) < wanted:
        raise NotFound("the log is not that large")
    return _text(content[:wanted], "application/octet-stream", "public, max-age=31536000, immutable")


@blp.route("/v1/audit/receipts/<entry_id>")
@blp.requires(auth.ANY_SCOPE)
@blp.response(200, content_type="text/plain; charset=utf-8")
@blp.alt_response(202, schema=PendingSchema, description="not sealed yet, or not witnessed yet: ask again in a second")
def show_receipt(entry_id: str) -> Response:
    """Proof, to be kept and checked offline, that an entry is on the log: for its parties and for compliance."""
    with db.reading() as reading:
        row, party = review.require_party(reading, auth.caller(), entry_id)
        receipt = receipts.make(reading, entry_id)
    if row.bytes is None:
        raise Gone("the entry is past its retention: a receipt that was fetched before still proves it")
    review.record_look(auth.caller(), row, party, "audit-receipt")
    if receipt is None:
        pending = json_response({"status": "not sealed or not witnessed yet"}, 202)
        pending.headers["Retry-After"] = str(RETRY_AFTER_S)
        return pending
    return _text(receipt, "text/plain; charset=utf-8", "no-store")


def _text(content: str | bytes, content_type: str, caching: str) -> Response:
    response = Response(content, content_type=content_type)
    response.headers["Cache-Control"] = caching
    return response
