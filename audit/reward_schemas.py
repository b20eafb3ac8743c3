# SPDX-License-Identifier: Apache-2.0
"""What the reward's routes take and give."""

from marshmallow import Schema, fields, validate

from audit.corrections import MAX_ENTRIES, SIGNS


class CountSchema(Schema):
    queries = fields.Integer(required=True, metadata={"description": "answered questions"})
    billable = fields.Integer(required=True, metadata={"description": "those that count"})


class InstitutionCountSchema(CountSchema):
    name = fields.String(required=True, allow_none=True)


class CorrectedSchema(Schema):
    count = fields.Integer(required=True)
    billable = fields.Integer(required=True, metadata={"description": "what they add to `billable`, or take from it"})


class StatementSchema(Schema):
    year = fields.Integer(required=True)
    queries = fields.Integer(required=True, metadata={"description": "answered questions"})
    billable = fields.Integer(required=True, metadata={"description": "those that count, corrections included"})
    rate_fen = fields.Integer(required=True)
    cap_fen = fields.Integer(required=True)
    reward_fen = fields.Integer(required=True)
    leaf_from = fields.Integer(required=True)
    leaf_to = fields.Integer(required=True, metadata={"description": "one beyond the last leaf"})
    root = fields.String(required=True, allow_none=True, metadata={"description": "of the log of size leaf_to, hex"})
    origin = fields.String(required=True, allow_none=True, metadata={"description": "the log's name"})
    final = fields.Boolean(required=True, metadata={"description": "it is frozen and will not change"})
    tariff = fields.String(required=True)
    corrections = fields.Nested(CorrectedSchema, required=True)
    by_institution = fields.Dict(fields.String(), fields.Nested(InstitutionCountSchema), required=True)
    by_product = fields.Dict(fields.String(), fields.Nested(CountSchema), required=True)
    by_purpose = fields.Dict(fields.String(), fields.Nested(CountSchema), required=True)
    by_month = fields.Dict(fields.String(), fields.Nested(CountSchema), required=True)
    number = fields.Integer(metadata={"description": "once frozen: 0, of a supplement 1 and more"})
    frozen_at = fields.String(metadata={"description": "once frozen"})
    signature = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "once frozen: detached JWS over the canonical JSON of all other members"},
    )


class SupplementSchema(StatementSchema):
    difference_fen = fields.Integer(required=True, metadata={"description": "to the statement or supplement before"})


class SupplementListSchema(Schema):
    supplements = fields.List(fields.Nested(SupplementSchema), required=True)
    next_cursor = fields.String(required=True, allow_none=True)


class NewCorrectionSchema(Schema):
    entries = fields.List(
        fields.String(validate=validate.Length(1, 36)), required=True, validate=validate.Length(1, MAX_ENTRIES)
    )
    count = fields.String(
        required=True,
        validate=validate.OneOf(list(SIGNS)),
        metadata={"description": "out: they should not have been counted; in: they should"},
    )
    reason = fields.String(required=True, validate=validate.Length(1, 400))


class CorrectionSchema(Schema):
    correction_id = fields.String(required=True)
    year = fields.Integer(required=True)
    entries = fields.List(fields.String(), required=True)
    billable = fields.Integer(required=True, metadata={"description": "how many more count; below 0: fewer"})
    reason = fields.String(required=True)
    status = fields.String(required=True, validate=validate.OneOf(["proposed", "confirmed", "lapsed"]))
    proposed_by = fields.String(required=True)
    proposed_at = fields.String(required=True)
    confirmed_by = fields.String(required=True, allow_none=True)
    confirmed_at = fields.String(required=True, allow_none=True)


class CorrectionListSchema(Schema):
    corrections = fields.List(fields.Nested(CorrectionSchema), required=True)
    next_cursor = fields.String(required=True, allow_none=True)
