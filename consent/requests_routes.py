# SPDX-License-Identifier: Apache-2.0
"""An institution asks for a consent; the enterprise finds it in its inbox. And the enterprise's own keys."""

from typing import Any

from flask import Response

from audit import trail
from consent import evidence, grants, requests, store
from consent.acts import Act
from consent.guards import require_own, require_visible
from consent.routes import list_own
from consent.schemas import (
    ApprovalSchema,
    ConsentFilterSchema,
    ConsentListSchema,
    ConsentSchema,
    KeyListSchema,
    KeySchema,
    PublicKeySchema,
    ReasonSchema,
    RequestSchema,
)
from kernel import auth, clock, db
from kernel.errors import NotPermitted
from kernel.idempotency import required_key
from kernel.web import Blueprint, json_response

blp = Blueprint("consent requests", __name__, url_prefix="/v1", description="Asking for consent")


@blp.route("/consent-requests", methods=["POST"])
@blp.requires("consent:request")
@blp.arguments(RequestSchema())
@blp.response(201, ConsentSchema)
@blp.needs_idempotency_key
def ask_for_consent(body: dict[str, Any]) -> Response:
    """Ask an enterprise for a consent to one's own institution; it lapses unless answered in time."""
    principal = auth.caller()
    if principal.institution is None:
        raise NotPermitted("only a client of an institution may ask", slug="not-an-institution")
    given = grants.checked({**body, "scope": "query", "grantee": principal.institution.id})
    act = Act(principal.actor, key=required_key(), client=principal.client)
    return json_response(grants.ask_once(given, act), 201)


@blp.route("/consent-requests")
@blp.requires("consent:read")
@blp.arguments(ConsentFilterSchema(), location="query")
@blp.response(200, ConsentListSchema)
def list_requests(asked: dict[str, Any]) -> Response:
    """Requests not answered yet, newest first: the enterprise's inbox, or what the institution asked for."""
    return list_own(asked, status="requested")


@blp.route("/consent-requests/<consent_id>/approve", methods=["POST"])
@blp.requires("consent:write")
@blp.arguments(ApprovalSchema())
@blp.response(200, ConsentSchema)
def approve_request(body: dict[str, Any], consent_id: str) -> Response:
    """Grant what was asked for, whole or narrowed."""
    return json_response(grants.approve(consent_id, Act(auth.caller().actor), body, require_visible))


@blp.route("/consent-requests/<consent_id>/reject", methods=["POST"])
@blp.requires("consent:write")
@blp.arguments(ReasonSchema())
@blp.response(200, ConsentSchema)
def reject_request(body: dict[str, Any], consent_id: str) -> Response:
    """Turn a request down."""
    with trail.recording() as tx:
        require_visible(store.get(tx, consent_id), tx)
        rejected = requests.reject(tx, consent_id, Act(auth.caller().actor), body["reason"])
        shown = store.shown(tx, rejected, clock.now())
    return json_response(shown)


@blp.route("/enterprises/<uscc>/keys", methods=["POST"])
@blp.requires("consent:write")
@blp.arguments(PublicKeySchema())
@blp.response(201, KeySchema)
def register_key(body: dict[str, Any], uscc: str) -> Response:
    """Register a public key with which the enterprise signs its grants."""
    require_own(uscc)
    with trail.recording() as tx:
        return json_response(evidence.register(tx, uscc, body["jwk"], Act(auth.caller().actor)), 201)


@blp.route("/enterprises/<uscc>/keys")
@blp.requires("consent:read")
@blp.response(200, KeyListSchema)
def list_keys(uscc: str) -> Response:
    """The enterprise's own keys, retired ones too."""
    require_own(uscc)
    with db.reading() as reading:
        return json_response({"keys": evidence.keys_of(reading, uscc)})


@blp.route("/enterprises/<uscc>/keys/<kid>", methods=["DELETE"])
@blp.requires("consent:write")
@blp.response(204)
def retire_key(uscc: str, kid: str) -> Response:
    """Accept nothing new from a key; what it signed goes on verifying."""
    require_own(uscc)
    with trail.recording() as tx:
        evidence.retire(tx, uscc, kid, Act(auth.caller().actor))
    return Response(status=204)
