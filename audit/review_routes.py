# SPDX-License-Identifier: Apache-2.0
"""Review: timelines, findings, and one entry as its party may see it. Every view of the staff is an entry too."""

from typing import Any

from flask import Response

from audit import acts, review, trail
from audit.schemas import FindingListSchema, OneEntrySchema, PageSchema, PeriodSchema, TimelineSchema
from kernel import auth, cursors, db
from kernel.errors import Invalid, NotFound
from kernel.web import Blueprint, json_response

blp = Blueprint("review", __name__, url_prefix="/v1/audit", description="What compliance looks at")
MAX_DAYS = 31
MAX_FINDINGS = 1_000
MAX_CHARS = {"consent": 36, "uscc": 32}


@blp.route("/entries/<entry_id>")
@blp.requires(auth.ANY_SCOPE)
@blp.response(200, OneEntrySchema)
def show_entry(entry_id: str) -> Response:
    """One entry, for its parties and for compliance; operator and reference only for the institution and compliance."""
    with db.reading() as reading:
        row, party = review.require_party(reading, auth.caller(), entry_id)
    review.record_look(auth.caller(), row, party, "audit-entry")
    return json_response(review.one_for(row, party))


@blp.route("/consents/<consent_id>/timeline")
@blp.requires("audit:read")
@blp.arguments(PageSchema(), location="query")
@blp.response(200, TimelineSchema)
def show_consent_timeline(asked: dict[str, Any], consent_id: str) -> Response:
    """Everything done under a consent, in order: its versions, the questions it decided, its end."""
    return _timeline("consent", consent_id, asked)


@blp.route("/enterprises/<uscc>/timeline")
@blp.requires("audit:read")
@blp.arguments(PageSchema(), location="query")
@blp.response(200, TimelineSchema)
def show_enterprise_timeline(asked: dict[str, Any], uscc: str) -> Response:
    """Everything on the trail about an enterprise, in order: consents, requests, questions, refusals, views."""
    return _timeline("uscc", uscc, asked)


@blp.route("/findings")
@blp.requires("audit:read")
@blp.arguments(PeriodSchema(), location="query")
@blp.response(200, FindingListSchema)
def list_findings(asked: dict[str, Any]) -> Response:
    """What is conspicuous in some days of Asia/Shanghai, both included, at most 31: why, how much, and the entries."""
    first, last = asked["first"], asked["last"]
    if not 0 <= (last - first).days < MAX_DAYS:
        told = f"from is not after to, and they span at most {MAX_DAYS} days; `bureau findings` takes more"
        raise Invalid(told, errors={"to": [told]})
    # Read first, written down afterwards: on SQLite nobody else could write as long as it takes.
    with db.reading() as reading:
        found, more = acts.listed(acts.findings(reading, first, last), MAX_FINDINGS)
    period = {"from": first.isoformat(), "to": last.isoformat()}
    with trail.recording(only_the_entry=True) as tx:
        review.record_view(tx, auth.caller(), "audit-findings", len(found), period)
    return json_response({**period, "findings": found, "more": more})


def _timeline(name: str, value: str, asked: dict[str, Any]) -> Response:
    if len(value) > MAX_CHARS[name]:
        raise NotFound(f"no {name} is longer than {MAX_CHARS[name]} characters")
    after = cursors.decode(asked.get("cursor"))
    with trail.recording(only_the_entry=True) as tx:
        page, last = review.timeline(tx, name, value, after, asked["limit"])
        about = {"uscc": page[0]["uscc"] if page else None, name: value, "after": after}
        review.record_view(tx, auth.caller(), "audit-timeline", len(page), about)
    return json_response({"entries": page, "next_cursor": cursors.encode(last) if last else None})
