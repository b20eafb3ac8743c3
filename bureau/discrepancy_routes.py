# SPDX-License-Identifier: Apache-2.0
"""The reconciliation list, for the administrators who keep the data right. Every look is an entry."""

from typing import Any

from flask import Response
from marshmallow import Schema, fields, validate

from access.lifecycle import by_caller
from audit import trail
from bureau import reconciliation_list
from bureau.reconciliation import STATES
from kernel import auth, cursors
from kernel.cursors import MAX_PAGE_ROWS
from kernel.web import Blueprint, json_response

blp = Blueprint("discrepancies", __name__, url_prefix="/v1", description="What sources contradict each other in")


class DiscrepancyPageSchema(Schema):
    source = fields.String(validate=validate.Length(1, 8), metadata={"description": "that takes part in it"})
    fact = fields.String(validate=validate.Length(1, 40))
    state = fields.String(validate=validate.OneOf(STATES))
    uscc = fields.String(validate=validate.Length(1, 32))
    cursor = fields.String(validate=validate.Length(1, 128))
    limit = fields.Integer(load_default=50, validate=validate.Range(1, MAX_PAGE_ROWS))


class StatementOfSourceSchema(Schema):
    source = fields.String(required=True)
    source_name = fields.String(required=True)
    item = fields.String(required=True)
    record = fields.String(required=True)


class ValueOfSourceSchema(StatementOfSourceSchema):
    value = fields.Raw(
        required=True,
        allow_none=True,
        metadata={"description": "string, integer or boolean as the record says now; null: it was withdrawn or went"},
    )
    event_date = fields.String(required=True, allow_none=True)
    received_at = fields.String(required=True, allow_none=True)


class DiscrepancyLineSchema(Schema):
    discrepancy = fields.String(required=True)
    uscc = fields.String(required=True)
    fact = fields.String(required=True)
    name = fields.String(required=True)
    name_en = fields.String(required=True)
    state = fields.String(required=True, validate=validate.OneOf(STATES))
    statements = fields.List(fields.Nested(StatementOfSourceSchema), required=True)
    since = fields.Integer(required=True, metadata={"description": "the publication as of which it was first seen"})
    first_seen_at = fields.String(required=True)
    last_seen_at = fields.String(required=True)
    settled_at = fields.String(required=True, allow_none=True)
    reason = fields.String(required=True, allow_none=True, metadata={"description": "why it may stand"})
    explained_by = fields.String(required=True, allow_none=True)
    explained_at = fields.String(required=True, allow_none=True)


class DiscrepancySchema(DiscrepancyLineSchema):
    statements = fields.List(fields.Nested(ValueOfSourceSchema), required=True)


class DiscrepancyListSchema(Schema):
    discrepancies = fields.List(fields.Nested(DiscrepancyLineSchema), required=True)
    next_cursor = fields.String(required=True, allow_none=True)


class ExplanationSchema(Schema):
    reason = fields.String(
        required=True,
        validate=validate.Length(1, 400),
        metadata={"description": "stands on the trail in clear: no values"},
    )


@blp.route("/discrepancies")
@blp.requires("admin")
@blp.arguments(DiscrepancyPageSchema(), location="query")
@blp.response(200, DiscrepancyListSchema)
def list_discrepancies(asked: dict[str, Any]) -> Response:
    """Facts on which sources contradict each other, the newest first: who says it in which record, without values."""
    before = cursors.decode(asked.get("cursor"))
    shown, last = reconciliation_list.page(asked, before, asked["limit"], auth.caller())
    return json_response({"discrepancies": shown, "next_cursor": cursors.encode(last) if last else None})


@blp.route("/discrepancies/<discrepancy_id>")
@blp.requires("admin")
@blp.response(200, DiscrepancySchema)
def show_discrepancy(discrepancy_id: str) -> Response:
    """One discrepancy with the value that each source gives."""
    return json_response(reconciliation_list.look(discrepancy_id, auth.caller()))


@blp.route("/discrepancies/<discrepancy_id>/explain", methods=["POST"])
@blp.requires("admin")
@blp.arguments(ExplanationSchema())
@blp.response(200, DiscrepancyLineSchema)
def explain_discrepancy(body: dict[str, Any], discrepancy_id: str) -> Response:
    """Say why an open discrepancy may stand; it is open again once a source says something else."""
    with trail.recording() as tx:
        explained = reconciliation_list.explain(tx, discrepancy_id, body["reason"], by_caller())
    return json_response(explained)
