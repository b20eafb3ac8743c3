# SPDX-License-Identifier: Apache-2.0
"""The yearly reward, for the finance office."""

from flask import Response
from marshmallow import Schema, fields

from audit import rewards
from kernel import clock, db
from kernel.errors import NotFound
from kernel.web import Blueprint, json_response

blp = Blueprint("rewards", __name__, url_prefix="/v1", description="The reward by query count")
FIRST_YEAR, LAST_YEAR = 2000, 2999


class StatementSchema(Schema):
    year = fields.Integer(required=True)
    queries = fields.Integer(required=True, metadata={"description": "answered questions"})
    billable = fields.Integer(required=True)
    rate_fen = fields.Integer(required=True)
    cap_fen = fields.Integer(required=True)
    reward_fen = fields.Integer(required=True)
    leaf_from = fields.Integer(required=True)
    leaf_to = fields.Integer(required=True, metadata={"description": "one beyond the last leaf"})
    root = fields.String(required=True, allow_none=True, metadata={"description": "of the log of size leaf_to, hex"})
    final = fields.Boolean(required=True)
    tariff = fields.String(required=True)
    by_institution = fields.Dict(required=True)
    by_product = fields.Dict(required=True)
    by_purpose = fields.Dict(required=True)
    by_month = fields.Dict(required=True)


@blp.route("/reward-statements/<int:year>")
@blp.requires("reward:read")
@blp.response(200, StatementSchema)
def show_statement(year: int) -> Response:
    """The reward of a year, computed from the sealed trail; provisional until the year is over."""
    if not FIRST_YEAR <= year <= LAST_YEAR:
        raise NotFound(f"no statement of the year {year}")
    with db.reading() as reading:
        return json_response(rewards.statement(reading, year, clock.now()))
