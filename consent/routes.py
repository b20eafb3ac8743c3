# SPDX-License-Identifier: Apache-2.0
"""The enterprise grants and revokes; the enterprise and the institution each see their own consents."""

from typing import Any

from flask import Response

from audit import trail
from consent import consents, grants
from consent.decision import Consent, grantees_of
from consent.schemas import (
    ConsentFilterSchema,
    ConsentListSchema,
    ConsentSchema,
    ConsentWithHistorySchema,
    GrantSchema,
    ReasonSchema,
)
from kernel import auth, clock, cursors, db
from kernel.errors import NotFound, NotPermitted
from kernel.idempotency import required_key
from kernel.web import Blueprint, json_response

blp = Blueprint("consent", __name__, url_prefix="/v1", description="What the enterprise allows")


@blp.route("/consents", methods=["POST"])
@blp.requires("consent:write")
@blp.arguments(GrantSchema())
@blp.response(201, ConsentSchema)
@blp.needs_idempotency_key
def give_consent(body: dict[str, Any]) -> Response:
    """Grant a consent; it supersedes the live one for the same grantee."""
    _require_own(body["uscc"])
    return json_response(grants.grant_once(grants.checked(body), auth.caller().actor, required_key()), 201)


@blp.route("/consents/<consent_id>/revoke", methods=["POST"])
@blp.requires("consent:write")
@blp.arguments(ReasonSchema())
@blp.response(200, ConsentSchema)
def revoke_consent(body: dict[str, Any], consent_id: str) -> Response:
    """End a consent; whoever asks after this answer is refused."""
    with trail.recording() as tx:
        _require_visible(consents.get(tx, consent_id))
        revoked = consents.revoke(tx, consent_id, consents.Act(auth.caller().actor), body["reason"])
    return json_response(consents.document(revoked, clock.now()))


@blp.route("/consents")
@blp.requires("consent:read")
@blp.arguments(ConsentFilterSchema(), location="query")
@blp.response(200, ConsentListSchema)
def list_consents(asked: dict[str, Any]) -> Response:
    """One's own consents, newest first: those given, or those that name the institution."""
    principal, limit = auth.caller(), asked["limit"]
    if principal.institution is None and principal.uscc is None:
        raise NotPermitted("only an enterprise's signatory or an institution's client has consents", slug="no-consents")
    if principal.institution is None and asked.get("uscc", principal.uscc) != principal.uscc:
        raise NotPermitted("an enterprise sees its own consents only", slug="not-your-enterprise")
    grantees = grantees_of(principal.institution) if principal.institution else None
    uscc = asked.get("uscc") if principal.institution else principal.uscc
    before = cursors.decode(asked.get("cursor"))
    with db.reading() as reading:
        page = consents.listed(reading, uscc=uscc, grantees=grantees, before=before, limit=limit)
    shown = [consents.document(consent, clock.now()) for consent in page]
    return json_response(
        {"consents": shown, "next_cursor": cursors.encode(page[-1].id) if len(page) == limit else None}
    )


@blp.route("/consents/<consent_id>")
@blp.requires("consent:read")
@blp.response(200, ConsentWithHistorySchema)
def show_consent(consent_id: str) -> Response:
    """One consent with all its versions, each naming the digest of the one before."""
    with db.reading() as reading:
        consent = consents.get(reading, consent_id)
        _require_visible(consent)
        history = list(consents.history(reading, consent_id))
    return json_response({**consents.document(consent, clock.now()), "history": history})


def _require_own(uscc: str) -> None:
    if auth.caller().uscc != uscc:
        raise NotPermitted("you may act for your own enterprise only", slug="not-your-enterprise")


def _require_visible(consent: Consent) -> None:
    """Others' consents do not exist for the caller: their existence is information."""
    principal = auth.caller()
    if principal.institution is not None:
        visible = consent.scope == "query" and consent.grantee in grantees_of(principal.institution)
    else:
        visible = principal.uscc == consent.uscc
    if not visible:
        raise NotFound(f"no consent {consent.id}")
