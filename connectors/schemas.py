# SPDX-License-Identifier: Apache-2.0
"""What the routes of deliveries take and give."""

from marshmallow import Schema, fields, validate

from bureau.batches import RECEIVED, RECEIVING
from kernel.cursors import MAX_PAGE_ROWS


class PushSchema(Schema):
    feed = fields.String(required=True, validate=validate.Length(1, 80), metadata={"description": "the feed's name"})


class TakenSchema(Schema):
    batch = fields.String(required=True)


class RejectPageSchema(Schema):
    cursor = fields.String(validate=validate.Length(1, 128))
    limit = fields.Integer(load_default=50, validate=validate.Range(1, MAX_PAGE_ROWS))


class RejectSchema(Schema):
    row = fields.Integer(required=True, metadata={"description": "from 1, header and empty lines left out"})
    reason = fields.String(required=True)


class ReceiptSchema(Schema):
    """What became of a delivery, as `bureau collect` prints it, and which rows were rejected."""

    batch = fields.String(required=True)
    feed = fields.String(required=True)
    status = fields.String(required=True, validate=validate.OneOf((RECEIVING, RECEIVED)))
    rows = fields.Integer(required=True)
    accepted = fields.Integer(required=True)
    rejected = fields.Integer(required=True)
    repeated = fields.Integer(
        required=True, metadata={"description": "of the accepted: the same as a row delivered before"}
    )
    amended = fields.Integer(metadata={"description": "corrections and withdrawals that it holds"})
    duplicate = fields.Boolean(required=True)
    reasons = fields.Dict(required=True, metadata={"description": "why rows were rejected → how many"})
    warnings = fields.Dict(required=True, metadata={"description": "what accepted rows lost, and how often"})
    rejects = fields.List(fields.Nested(RejectSchema), required=True)
    next_cursor = fields.String(required=True, allow_none=True)


class LastDeliverySchema(Schema):
    batch = fields.String(required=True)
    received_at = fields.String(required=True)
    rows = fields.Integer(required=True)
    accepted = fields.Integer(required=True)
    rejected = fields.Integer(required=True)


class AlarmSchema(Schema):
    kind = fields.String(required=True, validate=validate.OneOf(("late", "shrunk", "dead", "refused")))
    detail = fields.String(required=True)
    since = fields.String(required=True)


class FeedStatusSchema(Schema):
    feed = fields.String(required=True)
    title = fields.String(required=True)
    source = fields.String(required=True)
    dataset = fields.String(required=True)
    transport = fields.String(required=True, validate=validate.OneOf(("brought", "sftp", "https", "database")))
    schedule = fields.String(required=True, allow_none=True)
    state = fields.String(
        required=True,
        validate=validate.OneOf(("ok", "pulling", "late", "shrunk", "refused", "failing", "dead")),
    )
    due_at = fields.String(required=True, allow_none=True)
    tried_at = fields.String(required=True, allow_none=True)
    failures = fields.Integer(required=True, metadata={"description": "pulls that failed since one did not"})
    problem = fields.String(required=True, allow_none=True, metadata={"description": "why the last pull failed"})
    last = fields.Nested(LastDeliverySchema, required=True, allow_none=True)
    alarms = fields.List(fields.Nested(AlarmSchema), required=True)


class FeedListSchema(Schema):
    feeds = fields.List(fields.Nested(FeedStatusSchema), required=True)
