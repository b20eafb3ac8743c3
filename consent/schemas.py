# SPDX-License-Identifier: Apache-2.0
"""What the consent routes take and give. Inputs are validated here; answers are only documented."""

from datetime import UTC, datetime

from marshmallow import Schema, fields, validate

from access.institutions import KINDS
from consent.question import CLASSES, PRODUCTS, PURPOSES
from kernel.cursors import MAX_PAGE_ROWS

# Beyond the years 1 and 9999 an offset leads out of the calendar, and a year of three digits is no RFC 3339.
IN_OUR_TIME = validate.Range(datetime(2000, 1, 1, tzinfo=UTC), datetime(3000, 1, 1, tzinfo=UTC))


def some_of(names: tuple[str, ...]) -> list[validate.Validator]:
    """Validators of a list that names at least one of `names` and nothing else."""
    return [validate.Length(1, len(names)), validate.ContainsOnly(names)]


class GrantSchema(Schema):
    uscc = fields.String(required=True, validate=validate.Length(1, 32))
    scope = fields.String(load_default="query", validate=validate.OneOf(("query", "collect")))
    grantee = fields.String(
        load_default=None,
        validate=validate.Length(1, 64),
        metadata={"description": f"an institution's id, kind:<{'|'.join(KINDS)}>, or platform"},
    )
    classes = fields.List(
        fields.Integer(strict=True, validate=validate.OneOf(CLASSES)), required=True, validate=validate.Length(1, 7)
    )
    products = fields.List(fields.String(), load_default=list(PRODUCTS), validate=some_of(PRODUCTS))
    purposes = fields.List(fields.String(), required=True, validate=some_of(PURPOSES))
    not_before = fields.AwareDateTime(format="iso", load_default=None, allow_none=True, validate=IN_OUR_TIME)
    expires_at = fields.AwareDateTime(
        format="iso",
        load_default=None,
        allow_none=True,
        validate=IN_OUR_TIME,
        metadata={"description": "null: open-ended (长期)"},
    )


class ReasonSchema(Schema):
    reason = fields.String(load_default=None, allow_none=True, validate=validate.Length(1, 400))


class ConsentSchema(Schema):
    consent_id = fields.String(required=True)
    version = fields.Integer(required=True)
    uscc = fields.String(required=True)
    scope = fields.String(required=True)
    grantee = fields.String(required=True)
    classes = fields.List(fields.Integer(), required=True)
    products = fields.List(fields.String(), required=True)
    purposes = fields.List(fields.String(), required=True)
    not_before = fields.String(required=True)
    expires_at = fields.String(required=True, allow_none=True)
    status = fields.String(required=True)
    reason = fields.String(required=True, allow_none=True)
    granted_at = fields.String(required=True)
    changed_at = fields.String(required=True)


class ConsentVersionSchema(ConsentSchema):
    previous = fields.String(
        required=True, allow_none=True, metadata={"description": "hex SHA-256 of the previous version (RFC 8785)"}
    )


class ConsentWithHistorySchema(ConsentSchema):
    history = fields.List(fields.Nested(ConsentVersionSchema), required=True)


class ConsentListSchema(Schema):
    consents = fields.List(fields.Nested(ConsentSchema), required=True)
    next_cursor = fields.String(required=True, allow_none=True)


class ConsentFilterSchema(Schema):
    uscc = fields.String(validate=validate.Length(1, 32))
    cursor = fields.String(validate=validate.Length(1, 128))
    limit = fields.Integer(load_default=50, validate=validate.Range(1, MAX_PAGE_ROWS))
