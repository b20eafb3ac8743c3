# SPDX-License-Identifier: Apache-2.0
"""The enterprise grants, pauses, revokes; the enterprise and the institution each see their own consents."""

from collections.abc import Callable
from typing import Any

from flask import Response, request
from sqlalchemy import Connection

from audit import trail
from consent import consents, grants, store, suspension
from consent.acts import Act
from consent.decision import Consent, grantees_of
from consent.guards import require_own, require_visible
from consent.schemas import (
    ConsentFilterSchema,
    ConsentListSchema,
    ConsentSchema,
    ConsentWithHistorySchema,
    GrantSchema,
    ReasonSchema,
)
from kernel import auth, clock, cursors, db
from kernel.errors import NotPermitted
from kernel.idempotency import required_key
from kernel.web import Blueprint, json_response

blp = Blueprint("consent", __name__, url_prefix="/v1", description="What the enterprise allows")
Change = Callable[[Connection, str, Act, str | None], Consent]


@blp.route("/consents", methods=["POST"])
@blp.requires("consent:write")
@blp.arguments(GrantSchema())
@blp.response(201, ConsentSchema)
@blp.needs_idempotency_key
def give_consent(body: dict[str, Any]) -> Response:
    """Grant a consent; it supersedes the live one for the same grantee."""
    require_own(body["uscc"])
    given = grants.checked(body, request.get_json())
    return json_response(grants.grant_once(given, auth.caller().actor, required_key()), 201)


@blp.route("/consents/<consent_id>/revoke", methods=["POST"])
@blp.requires("consent:write")
@blp.arguments(ReasonSchema())
@blp.response(200, ConsentSchema)
def revoke_consent(body: dict[str, Any], consent_id: str) -> Response:
    """End a consent; whoever asks after this answer is refused."""
    return _changed(consents.revoke, consent_id, body["reason"])


@blp.route("/consents/<consent_id>/pause", methods=["POST"])
@blp.requires("consent:write")
@blp.arguments(ReasonSchema())
@blp.response(200, ConsentSchema)
def pause_consent(body: dict[str, Any], consent_id: str) -> Response:
    """Hold a consent; whoever asks after this answer is refused until it is resumed."""
    return _changed(consents.pause, consent_id, body["reason"])


@blp.route("/consents/<consent_id>/resume", methods=["POST"])
@blp.requires("consent:write")
@blp.arguments(ReasonSchema())
@blp.response(200, ConsentSchema)
def resume_consent(body: dict[str, Any], consent_id: str) -> Response:
    """Put a paused consent into force again."""
    return _changed(consents.resume, consent_id, body["reason"])


@blp.route("/consents/<consent_id>/suspend", methods=["POST"])
@blp.requires("consent:suspend")
@blp.arguments(ReasonSchema())
@blp.response(200, ConsentSchema)
@blp.alt_response(202, schema=ConsentSchema, description="proposed: a second person must confirm")
def suspend_consent(body: dict[str, Any], consent_id: str) -> Response:
    """Propose to suspend a consent, or confirm what a colleague proposed; no one does both."""
    return _by_two(consent_id, "suspend", body["reason"])


@blp.route("/consents/<consent_id>/reinstate", methods=["POST"])
@blp.requires("consent:suspend")
@blp.arguments(ReasonSchema())
@blp.response(200, ConsentSchema)
@blp.alt_response(202, schema=ConsentSchema, description="proposed: a second person must confirm")
def reinstate_consent(body: dict[str, Any], consent_id: str) -> Response:
    """Propose to end a suspension, or confirm what a colleague proposed; no one does both."""
    return _by_two(consent_id, "reinstate", body["reason"])


@blp.route("/consents")
@blp.requires("consent:read")
@blp.arguments(ConsentFilterSchema(), location="query")
@blp.response(200, ConsentListSchema)
def list_consents(asked: dict[str, Any]) -> Response:
    """One's own consents, newest first: those given, or those that name the institution."""
    return list_own(asked)


@blp.route("/consents/<consent_id>")
@blp.requires("consent:read")
@blp.response(200, ConsentWithHistorySchema)
def show_consent(consent_id: str) -> Response:
    """One consent with all its versions, each signed and naming the digest of the one before."""
    with db.reading() as reading:
        consent = store.get(reading, consent_id)
        require_visible(consent, reading)
        shown = store.shown(reading, consent, clock.now())
        versions = list(store.history(reading, consent_id))
    return json_response({**shown, "versions": versions})


def list_own(asked: dict[str, Any], status: str | None = None) -> Response:
    """A page of the caller's own consents, all or those of one stored status."""
    principal, limit = auth.caller(), asked["limit"]
    if principal.institution is None and principal.uscc is None:
        raise NotPermitted("only an enterprise's signatory or an institution's client has consents", slug="no-consents")
    if principal.institution is None and asked.get("uscc", principal.uscc) != principal.uscc:
        raise NotPermitted("an enterprise sees its own consents only", slug="not-your-enterprise")
    mine: dict[str, Any] = {"uscc": principal.uscc}
    if principal.institution is not None:
        mine = {"uscc": asked.get("uscc"), "grantees": grantees_of(principal.institution)}
        mine["requested_by"] = principal.institution.id
    before = cursors.decode(asked.get("cursor"))
    with db.reading() as reading:
        page = store.listed(reading, clock.now(), **mine, status=status, before=before, limit=limit)
    next_cursor = cursors.encode(page[-1]["consent_id"]) if len(page) == limit else None
    return json_response({"consents": page, "next_cursor": next_cursor})


def _changed(change: Change, consent_id: str, reason: str | None) -> Response:
    with trail.recording() as tx:
        require_visible(store.get(tx, consent_id), tx)
        changed = change(tx, consent_id, Act(auth.caller().actor), reason)
        shown = store.shown(tx, changed, clock.now())
    return json_response(shown)


def _by_two(consent_id: str, what: str, reason: str | None) -> Response:
    with trail.recording() as tx:
        consent = suspension.propose_or_confirm(tx, consent_id, what, Act(auth.caller().actor), reason)
        shown = store.shown(tx, consent, clock.now())
    done = (consent.status == "suspended") == (what == "suspend")
    return json_response(shown, 200 if done else 202)
