# SPDX-License-Identifier: Apache-2.0
"""What the routes of consent events and webhooks take and give."""

from marshmallow import Schema, fields, validate

from connectors.outward import MAX_URL_CHARACTERS
from consent.schemas import IN_OUR_TIME
from kernel.cursors import MAX_PAGE_ROWS

STATES = ("pending", "delivered", "dead")


class EventQuerySchema(Schema):
    """Where to go on."""

    cursor = fields.String(
        load_default=None,
        validate=validate.Length(1, 100),
        metadata={"description": "the last answer's next_cursor; without one: from the oldest event that is kept"},
    )
    limit = fields.Integer(load_default=100, validate=validate.Range(1, MAX_PAGE_ROWS))


class ConsentEventSchema(Schema):
    """A change to a consent that names the institution, its kind, or all."""

    id = fields.String(required=True, metadata={"description": "the same in a webhook's header webhook-id"})
    type = fields.String(required=True, metadata={"description": "consent.granted, consent.revoked, …"})
    timestamp = fields.String(required=True)
    data = fields.Dict(required=True, metadata={"description": "the consent as it then was; read it before you rely"})


class ConsentEventListSchema(Schema):
    """A page of events, oldest first; empty when there is nothing new. `next_cursor` is always there."""

    events = fields.List(fields.Nested(ConsentEventSchema), required=True)
    next_cursor = fields.String(required=True)


class WebhookUrlSchema(Schema):
    """Where to send."""

    url = fields.String(required=True, validate=validate.Length(1, MAX_URL_CHARACTERS))


class WebhookSchema(Schema):
    """A webhook (Standard Webhooks 1.0)."""

    webhook_id = fields.String(required=True)
    url = fields.String(required=True)
    status = fields.String(required=True, validate=validate.OneOf(("active", "stopped")))
    reason = fields.String(required=True, allow_none=True)
    created_at = fields.String(required=True)
    earlier_secret_until = fields.String(required=True, allow_none=True)
    public_keys = fields.List(fields.String(), required=True, metadata={"description": "Ed25519, whpk_…, for v1a"})


class WebhookWithCountsSchema(WebhookSchema):
    """The same, with how many messages it was or will be sent."""

    pending = fields.Integer(required=True)
    delivered = fields.Integer(required=True)
    dead = fields.Integer(required=True)


class WebhookWithSecretSchema(WebhookWithCountsSchema):
    """The same, with its secret, which is shown this once."""

    secret = fields.String(required=True, metadata={"description": "whsec_…, for v1 (HMAC-SHA256)"})


class WebhookListSchema(Schema):
    """All webhooks of the institution."""

    webhooks = fields.List(fields.Nested(WebhookSchema), required=True)


class SentQuerySchema(Schema):
    """Which messages to list."""

    state = fields.String(load_default=None, validate=validate.OneOf(STATES))
    cursor = fields.String(load_default=None, validate=validate.Length(1, 100))
    limit = fields.Integer(load_default=50, validate=validate.Range(1, MAX_PAGE_ROWS))


class SentSchema(Schema):
    """A message, as one webhook was or will be sent it."""

    id = fields.String(required=True)
    type = fields.String(required=True)
    time = fields.String(required=True)
    state = fields.String(required=True, validate=validate.OneOf(STATES))
    attempts = fields.Integer(required=True)
    due_at = fields.String(required=True, allow_none=True)
    tried_at = fields.String(required=True, allow_none=True)
    told = fields.String(required=True, allow_none=True, metadata={"description": "what came of the last attempt"})


class SentListSchema(Schema):
    """A page of them, newest first."""

    messages = fields.List(fields.Nested(SentSchema), required=True)
    next_cursor = fields.String(required=True, allow_none=True)


class ReplaySchema(Schema):
    """From when on to send once more."""

    since = fields.AwareDateTime(format="iso", required=True, validate=IN_OUR_TIME)


class ReplayedSchema(Schema):
    """How many messages are sent once more."""

    messages = fields.Integer(required=True)


class TestedSchema(Schema):
    """The message that is on its way."""

    id = fields.String(required=True)
