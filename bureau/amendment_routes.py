# SPDX-License-Identifier: Apache-2.0
"""Records corrected and withdrawn by the bureau's administrators, and looked at by its compliance officers."""

from typing import Any

from flask import Response
from marshmallow import Schema, fields, validate

from access.lifecycle import by_caller
from audit import trail
from bureau import amendments, record_history
from bureau.folios import Correction
from bureau.schemas import RecordSchema
from kernel import auth
from kernel.web import Blueprint, json_response

blp = Blueprint("amendments", __name__, url_prefix="/v1", description="What was delivered wrong is put right")

Reason = fields.String(required=True, validate=validate.Length(1, 400))


class AmendmentSchema(Schema):
    record = fields.String(required=True, validate=validate.Length(1, 64))
    kind = fields.String(required=True, validate=validate.OneOf(("correction", "withdrawal")))
    items = fields.Dict(
        keys=fields.String(validate=validate.Length(1, 16)),
        validate=validate.Length(1, 100),
        metadata={"description": "item code → right value (string, integer, boolean or null); of a correction"},
    )
    event_date = fields.Date()
    reason = Reason


class LiftSchema(Schema):
    reason = Reason


class LaidSchema(Schema):
    overlay = fields.String(required=True)


class OverlaySchema(Schema):
    overlay = fields.String(required=True)
    kind = fields.String(required=True)
    items = fields.Dict(required=True, allow_none=True)
    since = fields.Integer(required=True, metadata={"description": "the publication from which it holds"})
    until = fields.Integer(required=True, allow_none=True)
    batch = fields.String(required=True, allow_none=True, metadata={"description": "null: the bureau laid it"})


class RecordHistorySchema(Schema):
    record = fields.Nested(RecordSchema, required=True)
    overlays = fields.List(fields.Nested(OverlaySchema), required=True)
    shown = fields.Nested(RecordSchema, required=True, allow_none=True)


@blp.route("/enterprises/<uscc>/overlays", methods=["POST"])
@blp.requires("admin")
@blp.arguments(AmendmentSchema())
@blp.response(201, LaidSchema)
def amend_record(body: dict[str, Any], uscc: str) -> Response:
    """Correct or withdraw a record from now on, saying why; it stays on file as it was delivered."""
    event_date = body["event_date"].isoformat() if "event_date" in body else None
    correction = Correction(body["kind"], body.get("items"), event_date=event_date)
    with trail.recording() as tx:
        laid = amendments.amend(tx, uscc, body["record"], correction, body["reason"], by_caller())
    return json_response({"overlay": laid}, 201)


@blp.route("/enterprises/<uscc>/overlays/<overlay_id>/lift", methods=["POST"])
@blp.requires("admin")
@blp.arguments(LiftSchema())
@blp.response(204)
def lift_overlay(body: dict[str, Any], uscc: str, overlay_id: str) -> Response:
    """End a correction, a dispute mark or a withdrawal: from now on it no longer lies over its record."""
    with trail.recording() as tx:
        amendments.lift(tx, uscc, overlay_id, body["reason"], by_caller())
    return Response(status=204)


@blp.route("/enterprises/<uscc>/records/<record_id>")
@blp.requires("audit:read")
@blp.response(200, RecordHistorySchema)
def show_record_history(uscc: str, record_id: str) -> Response:
    """A record as it was delivered, with all that was laid over it; that it was looked at is an entry."""
    return json_response(record_history.look(uscc, record_id, auth.caller()))
