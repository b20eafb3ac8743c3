# SPDX-License-Identifier: Apache-2.0
"""Indicators and screening over HTTP."""

from typing import Any

from flask import Response
from marshmallow import Schema, fields, validate

from access import limits
from bureau import screening, screening_index
from kernel import auth, db
from kernel.idempotency import required_key
from kernel.web import Blueprint, json_response

blp = Blueprint("screening", __name__, url_prefix="/v1", description="Indicators, and enterprises found by them")


class ScreeningSchema(Schema):
    where = fields.Dict(metadata={"description": "a condition, or a group `all`, `any`, `not`: see docs/screening.md"})
    sort = fields.List(fields.Dict(), validate=validate.Length(max=5))
    limit = fields.Integer(strict=True, validate=validate.Range(1, screening.MAX_ROWS))
    cursor = fields.String(validate=validate.Length(1, screening.MAX_CURSOR))
    operator = fields.String(required=True, validate=validate.Length(1, 64))


class ScreeningPageSchema(Schema):
    screening_id = fields.String(required=True)
    as_of = fields.Dict(required=True)
    total = fields.Integer(required=True)
    conditions = fields.List(fields.Dict(), required=True)
    facets = fields.Dict(required=True)
    enterprises = fields.List(fields.Dict(), required=True)
    next_cursor = fields.String(required=True, allow_none=True)
    entry_id = fields.String(required=True)


class IndicatorsSchema(Schema):
    as_of = fields.Dict(required=True)
    enterprises = fields.Integer(required=True)
    proposal = fields.Boolean(required=True, metadata={"description": "classes and indicators are our proposal"})
    classes = fields.List(fields.Dict(), required=True)


@blp.route("/indicators")
@blp.requires("screening:search")
@blp.response(200, IndicatorsSchema)
def list_indicators() -> Response:
    """All indicators, in twelve classes, and how their values spread over all enterprises."""
    with db.reading() as reading:
        return json_response(screening.describe(screening_index.current(reading)))


@blp.route("/screenings", methods=["POST"])
@blp.requires("screening:search")
@limits.counted(question=False)
@blp.arguments(ScreeningSchema())
@blp.response(200, ScreeningPageSchema)
@blp.needs_idempotency_key
def screen(body: dict[str, Any]) -> Response:
    """Find enterprises by their indicators, of those that let themselves be found; each page is on record."""
    key, caller = required_key(), auth.caller()
    limits.count_screening(caller)
    return json_response(screening.screen(caller, body, key))
