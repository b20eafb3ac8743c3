# SPDX-License-Identifier: Apache-2.0
"""An institution hears of changes to the consents that name it: it asks from time to time, or is called."""

from typing import Any

from flask import Response

from audit import trail
from connectors import events, webhooks
from connectors.webhook_schemas import (
    ConsentEventListSchema,
    EventQuerySchema,
    ReplayedSchema,
    ReplaySchema,
    SentListSchema,
    SentQuerySchema,
    TestedSchema,
    WebhookListSchema,
    WebhookUrlSchema,
    WebhookWithCountsSchema,
    WebhookWithSecretSchema,
)
from kernel import auth, cursors, db
from kernel.web import Blueprint, json_response

blp = Blueprint("webhooks", __name__, url_prefix="/v1", description="Being told of changes to consents")


@blp.route("/consent-events")
@blp.requires("consent:read")
@blp.arguments(EventQuerySchema(), location="query")
@blp.response(200, ConsentEventListSchema)
def list_consent_events(asked: dict[str, Any]) -> Response:
    """Changes to the consents that name the institution, oldest first; ask again with `next_cursor`."""
    return json_response(events.page(auth.caller(), asked["cursor"], asked["limit"]))


@blp.route("/webhooks", methods=["POST"])
@blp.requires("consent:read")
@blp.arguments(WebhookUrlSchema())
@blp.response(201, WebhookWithSecretSchema)
def add_webhook(body: dict[str, Any]) -> Response:
    """Have changes to consents sent to a URL from now on; the secret is shown this once."""
    with trail.recording() as tx:
        return json_response(webhooks.add(tx, auth.caller(), body["url"]), 201)


@blp.route("/webhooks")
@blp.requires("consent:read")
@blp.response(200, WebhookListSchema)
def list_webhooks() -> Response:
    """The institution's webhooks."""
    with db.reading() as reading:
        return json_response({"webhooks": webhooks.list_own(reading, auth.caller())})


@blp.route("/webhooks/<webhook_id>")
@blp.requires("consent:read")
@blp.response(200, WebhookWithCountsSchema)
def show_webhook(webhook_id: str) -> Response:
    """One webhook, with how many messages wait, were delivered, are dead."""
    with db.reading() as reading:
        return json_response(webhooks.get(reading, auth.caller(), webhook_id))


@blp.route("/webhooks/<webhook_id>", methods=["DELETE"])
@blp.requires("consent:read")
@blp.response(204)
def remove_webhook(webhook_id: str) -> Response:
    """Send nothing to it any more, and forget what it was sent."""
    with trail.recording() as tx:
        webhooks.remove(tx, auth.caller(), webhook_id)
    return Response(status=204)


@blp.route("/webhooks/<webhook_id>/rotate", methods=["POST"])
@blp.requires("consent:read")
@blp.response(200, WebhookWithSecretSchema)
def rotate_webhook(webhook_id: str) -> Response:
    """A new secret, shown this once; for 24 hours the earlier one signs too."""
    with trail.recording() as tx:
        return json_response(webhooks.rotate(tx, auth.caller(), webhook_id))


@blp.route("/webhooks/<webhook_id>/resume", methods=["POST"])
@blp.requires("consent:read")
@blp.response(200, WebhookWithCountsSchema)
def resume_webhook(webhook_id: str) -> Response:
    """Send again to a webhook that stopped because its server answered 410; what came meanwhile is sent too."""
    with trail.recording() as tx:
        return json_response(webhooks.resume(tx, auth.caller(), webhook_id))


@blp.route("/webhooks/<webhook_id>/test", methods=["POST"])
@blp.requires("consent:read")
@blp.response(202, TestedSchema)
def test_webhook(webhook_id: str) -> Response:
    """Have a message of no meaning (`webhook.test`) sent."""
    with db.transaction() as tx:
        return json_response({"id": webhooks.test(tx, auth.caller(), webhook_id)}, 202)


@blp.route("/webhooks/<webhook_id>/replay", methods=["POST"])
@blp.requires("consent:read")
@blp.arguments(ReplaySchema())
@blp.response(202, ReplayedSchema)
def replay_webhook(body: dict[str, Any], webhook_id: str) -> Response:
    """Send once more what was told since a moment, whatever had come of it."""
    with trail.recording() as tx:
        return json_response({"messages": webhooks.replay(tx, auth.caller(), webhook_id, body["since"])}, 202)


@blp.route("/webhooks/<webhook_id>/messages")
@blp.requires("consent:read")
@blp.arguments(SentQuerySchema(), location="query")
@blp.response(200, SentListSchema)
def list_sent(asked: dict[str, Any], webhook_id: str) -> Response:
    """What a webhook was or will be sent, newest first, and what came of it; the dead letters by `state=dead`."""
    before, limit = cursors.decode(asked["cursor"]), asked["limit"]
    with db.reading() as reading:
        page = webhooks.sent_to(reading, auth.caller(), webhook_id, asked["state"], before, limit)
    next_cursor = cursors.encode(page[-1]["id"]) if len(page) == limit else None
    return json_response({"messages": page, "next_cursor": next_cursor})
