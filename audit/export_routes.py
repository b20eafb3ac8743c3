# SPDX-License-Identifier: Apache-2.0
"""Exports over HTTP, for compliance; what is too much for one person needs another's confirmation."""

from collections.abc import Iterator
from typing import Any

from flask import Response

from audit import takings, trail
from audit.export import Form
from audit.schemas import (
    ExportRequestListSchema,
    ExportRequestSchema,
    ExportSchema,
    NewExportRequestSchema,
    PageSchema,
)
from audit.takings import Wanted
from kernel import auth, cursors, db
from kernel.errors import Invalid
from kernel.web import Blueprint, json_response

blp = Blueprint("exports", __name__, url_prefix="/v1/audit", description="Entries taken away, with their proof")
TYPES: dict[Form, str] = {"ndjson": "application/x-ndjson", "csv": "text/csv; charset=utf-8"}


@blp.route("/exports")
@blp.requires("audit:read")
@blp.arguments(ExportSchema(), location="query")
@blp.response(200, content_type="application/x-ndjson")
def export_entries(asked: dict[str, Any]) -> Response:
    """Entries in the order of their leaves, as NDJSON or CSV, streamed; the last line proves that none is missing."""
    request_id = asked.pop("request", None)
    if request_id is None:
        wanted = _wanted(asked)
        return _streamed(wanted.format, takings.take(wanted, auth.caller()))
    if asked != ExportSchema().load({}):
        raise Invalid("a request says all: give nothing beside it", errors={"request": ["stands alone"]})
    return _streamed(*takings.take_confirmed(request_id, auth.caller()))


@blp.route("/export-requests", methods=["POST"])
@blp.requires("audit:read")
@blp.arguments(NewExportRequestSchema())
@blp.response(201, ExportRequestSchema)
def request_export(body: dict[str, Any]) -> Response:
    """Ask for an export that is too large for one person; another confirms it within three days."""
    reason = body.pop("reason")
    return json_response(takings.ask(_wanted(body), reason, auth.caller()), 201)


@blp.route("/export-requests")
@blp.requires("audit:read")
@blp.arguments(PageSchema(), location="query")
@blp.response(200, ExportRequestListSchema)
def list_export_requests(asked: dict[str, Any]) -> Response:
    """Export requests, the newest first."""
    before, limit = cursors.decode(asked.get("cursor")), asked["limit"]
    with db.reading() as reading:
        page = takings.listed(reading, before, limit)
    more = cursors.encode(page[-1]["request_id"]) if len(page) == limit else None
    return json_response({"requests": page, "next_cursor": more})


@blp.route("/export-requests/<request_id>/confirm", methods=["POST"])
@blp.requires("audit:read")
@blp.response(200, ExportRequestSchema)
def confirm_export(request_id: str) -> Response:
    """Confirm what a colleague asked for; then the colleague has a day to take it."""
    with trail.recording() as tx:
        return json_response(takings.confirm(tx, request_id, auth.caller()))


def _wanted(asked: dict[str, Any]) -> Wanted:
    first, last, form = (asked.pop(name) for name in ("leaf_from", "leaf_to", "format"))
    return Wanted(first, last, form, asked)


def _streamed(form: Form, lines: Iterator[bytes]) -> Response:
    response = Response(lines, content_type=TYPES[form])
    response.headers["Content-Disposition"] = f'attachment; filename="log.{form}"'
    return response
