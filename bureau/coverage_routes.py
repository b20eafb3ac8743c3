# SPDX-License-Identifier: Apache-2.0
"""Full coverage, for the bureau's administrators: lists in, the report out."""

from dataclasses import asdict
from typing import Any

from flask import Response
from marshmallow import Schema, fields, validate

from audit import trail
from bureau import coverage
from kernel import auth, clock, db
from kernel.web import Blueprint, json_response

blp = Blueprint("coverage", __name__, url_prefix="/v1", description="Who ought to have authorised, and who has")


class MemberSchema(Schema):
    uscc = fields.String(required=True, validate=validate.Length(1, 32))
    since = fields.Date(load_default=None, allow_none=True)


class EnrolmentSchema(Schema):
    origin = fields.String(
        required=True,
        validate=validate.Length(1, 200),
        metadata={"description": "who reports, or the policy's document number"},
    )
    members = fields.List(fields.Nested(MemberSchema), required=True, validate=validate.Length(1, 500))


class RejectedMemberSchema(Schema):
    row = fields.Integer(required=True)
    reason = fields.String(required=True)


class EnrolledSchema(Schema):
    trigger = fields.String(required=True)
    rows = fields.Integer(required=True)
    enrolled = fields.Integer(required=True)
    known = fields.Integer(required=True)
    rejected = fields.List(fields.Nested(RejectedMemberSchema), required=True)


class CoveredSchema(Schema):
    members = fields.Integer(required=True)
    authorised = fields.Integer(required=True)
    share = fields.String(required=True, allow_none=True, metadata={"description": "percent with one decimal"})


class DivisionCoverageSchema(CoveredSchema):
    division = fields.String(required=True)
    authorised_in_30_days = fields.Integer(required=True)
    ended = fields.Integer(required=True)


class TriggerCoverageSchema(CoveredSchema):
    trigger = fields.String(required=True)
    authorised_in_30_days = fields.Integer(required=True)
    ended = fields.Integer(required=True)
    divisions = fields.List(fields.Nested(DivisionCoverageSchema), required=True)


class CoverageSchema(Schema):
    as_of = fields.String(required=True)
    triggers = fields.List(fields.Nested(TriggerCoverageSchema), required=True)
    together = fields.Nested(CoveredSchema, required=True)


@blp.route("/coverage")
@blp.requires("admin")
@blp.response(200, CoverageSchema)
def show_coverage() -> Response:
    """Authorised firms of each trigger set (有贷、新设、享受政策), by division, and of all together."""
    with db.reading() as reading:
        return json_response(coverage.report(reading, clock.now()))


@blp.route("/coverage/<trigger>/members", methods=["POST"])
@blp.requires("admin")
@blp.arguments(EnrolmentSchema())
@blp.response(200, EnrolledSchema)
def enrol_members(body: dict[str, Any], trigger: str) -> Response:
    """Report firms that opened an account or enjoy a policy; the same list again changes nothing."""
    listed = ((number, one["uscc"], one["since"]) for number, one in enumerate(body["members"], 1))
    with trail.recording() as tx:
        found = coverage.enrol(tx, trigger, listed, body["origin"], auth.caller().actor, "api")
    return json_response(asdict(found))
