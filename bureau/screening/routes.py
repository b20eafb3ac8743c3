# SPDX-License-Identifier: Apache-2.0
"""Indicators and screening over HTTP."""

import hashlib
from typing import Any

from flask import Response
from marshmallow import Schema, fields, validate

from access import limits
from bureau.screening import found, versions
from bureau.screening.described import describe
from kernel import auth
from kernel.headers import content_digest
from kernel.idempotency import required_key
from kernel.web import Blueprint, json_response

blp = Blueprint("screening", __name__, url_prefix="/v1", description="Indicators, and enterprises found by them")


class ScreeningSchema(Schema):
    where = fields.Dict(metadata={"description": "a condition, or a group `all`, `any`, `not`: see docs/screening.md"})
    sort = fields.List(fields.Dict(), validate=validate.Length(max=5))
    limit = fields.Integer(strict=True, validate=validate.Range(1, found.MAX_ROWS))
    cursor = fields.String(validate=validate.Length(1, found.MAX_CURSOR))
    operator = fields.String(required=True, validate=validate.Length(1, 64))


class ExportSchema(Schema):
    where = fields.Dict(required=True, metadata={"description": "as in a screening"})
    sort = fields.List(fields.Dict(), validate=validate.Length(max=5))
    limit = fields.Integer(strict=True, validate=validate.Range(1, found.MAX_EXPORTED))
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
    return json_response(describe(versions.await_open()[0]))


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
    page = found.screen(caller, body, key)
    return json_response(page, Content_Digest=content_digest(hashlib.sha256(page).digest()))


@blp.route("/screenings/exports", methods=["POST"])
@blp.requires("screening:search")
@limits.counted(question=False)
@blp.arguments(ExportSchema())
@blp.response(200, {"type": "string"}, content_type="text/csv", description="UTF-8, a line for each enterprise")
@blp.needs_idempotency_key
def export(body: dict[str, Any]) -> Response:
    """The first enterprises of a screening as a CSV file, at most 2,000; each is on record as if it were on a page.

    It counts for as many pages as its `limit` has. Its receipt: `/v1/audit/receipts/` and the header `X-Entry-Id`.
    """
    key, caller = required_key(), auth.caller()
    limits.count_screening(caller, found.pages_of(body.get("limit", found.MAX_EXPORTED)))
    entry_id, file = found.export(caller, body, key)
    answer = Response(file, content_type="text/csv; charset=utf-8")
    answer.headers["X-Entry-Id"] = entry_id
    answer.headers["Content-Digest"] = content_digest(hashlib.sha256(file).digest())
    answer.headers["Content-Disposition"] = 'attachment; filename="screening.csv"'
    return answer
