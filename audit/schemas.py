# SPDX-License-Identifier: Apache-2.0
"""What the audit routes take and give."""

from marshmallow import Schema, fields, validate

from kernel.cursors import MAX_PAGE_ROWS


class PageSchema(Schema):
    cursor = fields.String(validate=validate.Length(1, 128))
    limit = fields.Integer(load_default=50, validate=validate.Range(1, MAX_PAGE_ROWS))


class AccessSchema(Schema):
    query_id = fields.String(required=True)
    time = fields.String(required=True)
    type = fields.String(required=True)
    institution = fields.String(required=True, allow_none=True)
    institution_name = fields.String(required=True, allow_none=True)
    purpose = fields.String(required=True, allow_none=True)
    product = fields.String(required=True, allow_none=True)
    classes = fields.List(fields.Integer(), required=True, allow_none=True)
    outcome = fields.String(required=True, allow_none=True)
    reason = fields.String(required=True, allow_none=True, metadata={"description": "the rule that refused"})
    receipt = fields.String(required=True)


class AccessLogSchema(Schema):
    entries = fields.List(fields.Nested(AccessSchema), required=True)
    next_cursor = fields.String(required=True, allow_none=True)


class EntrySchema(AccessSchema):
    """An entry with all that it says; `operator` and `reference` in clear."""

    actor = fields.String(required=True)
    channel = fields.String(required=True, allow_none=True)
    client = fields.String(required=True, allow_none=True)
    operator = fields.String(required=True, allow_none=True, metadata={"description": "the natural person who asked"})
    reference = fields.String(required=True, allow_none=True)
    uscc = fields.String(required=True, allow_none=True)
    consent = fields.String(required=True, allow_none=True)
    consent_version = fields.Integer(required=True, allow_none=True)
    publication = fields.Integer(required=True, allow_none=True)
    rule = fields.String(required=True, allow_none=True)
    request_digest = fields.String(required=True, allow_none=True)
    answer_digest = fields.String(required=True, allow_none=True)
    billable = fields.Boolean(required=True)
    of = fields.String(required=True, allow_none=True, metadata={"description": "the entry that this one repeats"})
    detail = fields.Dict(required=True, allow_none=True)
    retained = fields.Boolean(required=True, metadata={"description": "false: past its retention, only this is left"})


class EntryListSchema(Schema):
    entries = fields.List(fields.Nested(EntrySchema), required=True)
    next_cursor = fields.String(required=True, allow_none=True)
