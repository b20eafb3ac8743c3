# SPDX-License-Identifier: Apache-2.0
"""What the bureau's routes take and give. Questions are validated here; answers are only documented."""

from marshmallow import Schema, fields, validate

from consent.question import CLASSES, PURPOSES


class QuestionSchema(Schema):
    uscc = fields.String(required=True, validate=validate.Length(1, 32))
    purpose = fields.String(required=True, validate=validate.OneOf(PURPOSES))
    product = fields.String(required=True, validate=validate.OneOf(("records",)))
    classes = fields.List(
        fields.Integer(strict=True, validate=validate.OneOf(CLASSES)),
        validate=validate.Length(1, 7),
        metadata={"description": "default: all that the consent covers"},
    )
    operator = fields.String(
        required=True,
        validate=validate.Length(1, 64),
        metadata={"description": "the natural person at the institution who asks"},
    )
    reference = fields.String(validate=validate.Length(1, 64))


class AsOfSchema(Schema):
    publication = fields.Integer(required=True)
    time = fields.String(required=True)


class RecordSchema(Schema):
    id = fields.String(required=True)
    source = fields.String(required=True)
    event_date = fields.String(required=True, allow_none=True)
    received_at = fields.String(required=True)
    items = fields.Dict(required=True, metadata={"description": "item code → string, integer, boolean or null"})
    raw = fields.Dict(metadata={"description": "item code → text as delivered, where parsing changed it"})
    disputed = fields.Boolean()
    corrected = fields.Boolean(metadata={"description": "items are not those first delivered: they were corrected"})


class DatasetSchema(Schema):
    dataset = fields.String(required=True)
    name = fields.String(required=True)
    records = fields.List(fields.Nested(RecordSchema), required=True)


class InfoClassSchema(Schema):
    number = fields.Integer(required=True, data_key="class")
    name = fields.String(required=True)
    datasets = fields.List(fields.Nested(DatasetSchema), required=True)


class AnswerSchema(Schema):
    query_id = fields.String(required=True)
    uscc = fields.String(required=True)
    name = fields.String(required=True, allow_none=True)
    as_of = fields.Nested(AsOfSchema, required=True)
    product = fields.String(required=True)
    purpose = fields.String(required=True)
    consent_id = fields.String(required=True)
    classes = fields.List(fields.Nested(InfoClassSchema), required=True)
    receipt = fields.String(required=True)


class OwnDossierSchema(AnswerSchema):
    """An answer to the enterprise itself: its purpose is `self`, and no consent stands behind it."""

    consent_id = fields.String(required=True, allow_none=True)
