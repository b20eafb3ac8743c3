# SPDX-License-Identifier: Apache-2.0
"""How good deliveries are, and their rejected rows sent again, over HTTP."""

from dataclasses import asdict
from typing import Any

from flask import Response
from marshmallow import Schema, fields, validate

from bureau import quality
from connectors import repairs
from kernel import auth, db
from kernel.web import Blueprint, json_response

MOST_ROWS = 500

blp = Blueprint("repairs", __name__, url_prefix="/v1", description="Repair rejected rows; quality by month")


class RepairedRowSchema(Schema):
    row = fields.Integer(required=True, strict=True, validate=validate.Range(1))
    delivered = fields.Dict(
        keys=fields.String(),
        values=fields.String(),
        required=True,
        metadata={"description": "the feed's columns → text, as the source would deliver them"},
    )


class RepairSchema(Schema):
    rows = fields.List(fields.Nested(RepairedRowSchema), required=True, validate=validate.Length(1, MOST_ROWS))


class RepairedSchema(Schema):
    batch = fields.String(required=True)
    feed = fields.String(required=True)
    rows = fields.Integer(required=True)
    accepted = fields.Integer(required=True)
    rejected = fields.Integer(required=True)
    repeated = fields.Integer(required=True)
    amended = fields.Integer(required=True)
    duplicate = fields.Boolean(required=True)
    reasons = fields.Dict(keys=fields.String(), values=fields.Integer(), required=True)
    warnings = fields.Dict(keys=fields.String(), values=fields.Integer(), required=True)


class MonthSchema(Schema):
    month = fields.String(required=True, validate=validate.Regexp(r"20[0-9]{2}-(0[1-9]|1[0-2])\Z"))


class SourceQualitySchema(Schema):
    source = fields.String(required=True)
    month = fields.String(required=True)
    batches = fields.Integer(required=True)
    rows = fields.Integer(required=True)
    accepted = fields.Integer(required=True)
    rejected = fields.Integer(required=True)
    repaired = fields.Integer(required=True, metadata={"description": "of the rejected, those taken since"})
    repeated = fields.Integer(required=True)
    amended = fields.Integer(required=True)
    discrepancies = fields.Integer(
        required=True, metadata={"description": "first seen in the month: another source, or record, says otherwise"}
    )
    discrepancies_open = fields.Integer(required=True)
    accepted_percent = fields.String(required=True, allow_none=True)
    lag_days = fields.Integer(
        required=True,
        allow_none=True,
        metadata={"description": "how old a delivery's newest fact was when it came: the month's median"},
    )
    last_received_at = fields.String(required=True, allow_none=True)
    reasons = fields.Dict(keys=fields.String(), values=fields.Integer(), required=True)
    warnings = fields.Dict(keys=fields.String(), values=fields.Integer(), required=True)


class QualitySchema(Schema):
    sources = fields.List(fields.Nested(SourceQualitySchema), required=True)


@blp.route("/batches/<batch_id>/repairs", methods=["POST"])
@blp.requires("batch:write")
@blp.arguments(RepairSchema())
@blp.response(201, RepairedSchema)
def repair(body: dict[str, Any], batch_id: str) -> Response:
    """Send rejected rows of one's own delivery again, repaired; each is taken once."""
    return json_response(asdict(repairs.resubmit(batch_id, body["rows"], auth.caller().source or "")), 201)


@blp.route("/source-quality")
@blp.requires("admin")
@blp.arguments(MonthSchema(), location="query")
@blp.response(200, QualitySchema)
def show_quality(asked: dict[str, Any]) -> Response:
    """What each source delivered in a month: rows accepted and rejected, by reason, and how late."""
    return _quality(asked["month"], None)


@blp.route("/source-quality/own")
@blp.requires("batch:write")
@blp.arguments(MonthSchema(), location="query")
@blp.response(200, QualitySchema)
def show_own_quality(asked: dict[str, Any]) -> Response:
    """The same of the caller's own source."""
    return _quality(asked["month"], auth.caller().source or "")


def _quality(month: str, source: str | None) -> Response:
    with db.reading() as reading:
        return json_response({"sources": [asdict(one) for one in quality.of_month(reading, month, source)]})
