# SPDX-License-Identifier: Apache-2.0
"""The yearly reward, for the finance office: statements, supplements, and corrections by two people."""

from typing import Any

from flask import Response

from audit import corrections, statements, trail
from audit.reward_schemas import (
    CorrectionListSchema,
    CorrectionSchema,
    NewCorrectionSchema,
    StatementSchema,
    SupplementListSchema,
)
from audit.schemas import PageSchema
from kernel import auth, cursors, db
from kernel.errors import NotFound
from kernel.web import Blueprint, json_response

blp = Blueprint("rewards", __name__, url_prefix="/v1/reward-statements", description="The reward by query count")
FIRST_YEAR, LAST_YEAR = 2000, 2999


@blp.route("/<int:year>")
@blp.requires("reward:read")
@blp.response(200, StatementSchema)
def show_statement(year: int) -> Response:
    """The reward of a year, counted from the sealed trail: provisional, or frozen and signed once the year is over."""
    _require_year(year)
    with db.reading() as reading:
        return json_response(statements.statement(reading, year))


@blp.route("/<int:year>/supplements")
@blp.requires("reward:read")
@blp.response(200, SupplementListSchema)
def list_supplements(year: int) -> Response:
    """What was frozen of a year after its statement: late entries and corrections, each with the difference."""
    _require_year(year)
    with db.reading() as reading:
        return json_response({"supplements": statements.listed(reading, year)[1:], "next_cursor": None})


@blp.route("/<int:year>/corrections", methods=["POST"])
@blp.requires("reward:correct")
@blp.arguments(NewCorrectionSchema())
@blp.response(201, CorrectionSchema)
def propose_correction(body: dict[str, Any], year: int) -> Response:
    """Propose that some questions do, or do not, count; a compliance officer confirms it."""
    _require_year(year)
    with trail.recording() as tx:
        proposed = corrections.propose(tx, year, body["entries"], body["count"], body["reason"], auth.caller().actor)
    return json_response(proposed, 201)


@blp.route("/<int:year>/corrections")
@blp.requires("reward:read")
@blp.arguments(PageSchema(), location="query")
@blp.response(200, CorrectionListSchema)
def list_corrections(asked: dict[str, Any], year: int) -> Response:
    """The corrections of a year, the newest first."""
    _require_year(year)
    before, limit = cursors.decode(asked.get("cursor")), asked["limit"]
    with db.reading() as reading:
        page = corrections.listed(reading, year, before, limit)
    more = cursors.encode(page[-1]["correction_id"]) if len(page) == limit else None
    return json_response({"corrections": page, "next_cursor": more})


@blp.route("/<int:year>/corrections/<correction_id>/confirm", methods=["POST"])
@blp.requires("reward:confirm")
@blp.response(200, CorrectionSchema)
def confirm_correction(year: int, correction_id: str) -> Response:
    """Confirm what the finance office proposed; from its entry on it counts."""
    _require_year(year)
    with trail.recording() as tx:
        return json_response(corrections.confirm(tx, year, correction_id, auth.caller().actor))


def _require_year(year: int) -> None:
    if not FIRST_YEAR <= year <= LAST_YEAR:
        raise NotFound(f"no statement of the year {year}")
