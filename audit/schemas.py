# SPDX-License-Identifier: Apache-2.0
"""What the audit routes take and give."""

from datetime import UTC, date, datetime

from marshmallow import Schema, fields, validate

from audit.events import Event
from audit.export import FORMS
from kernel.cursors import MAX_PAGE_ROWS

_WORD = validate.Regexp(r"[a-z][a-z0-9_.-]{0,39}\Z")

_SANE = validate.Range(datetime(2000, 1, 1, tzinfo=UTC), datetime(3000, 1, 1, tzinfo=UTC))
_SANE_DAY = validate.Range(date(2000, 2, 1), date(2999, 12, 31))


class PageSchema(Schema):
    cursor = fields.String(validate=validate.Length(1, 128))
    limit = fields.Integer(load_default=50, validate=validate.Range(1, MAX_PAGE_ROWS))


class FiltersSchema(Schema):
    """What entries are found by; all that is given must fit."""

    institution = fields.String(validate=validate.Length(1, 64))
    client = fields.String(validate=validate.Length(1, 64))
    operator = fields.String(validate=validate.Length(1, 64))
    uscc = fields.String(validate=validate.Length(1, 32))
    consent = fields.String(validate=validate.Length(1, 36))
    type = fields.String(validate=validate.OneOf([event.value for event in Event]))
    outcome = fields.String(validate=_WORD)
    rule = fields.String(validate=_WORD, metadata={"description": "the rule that refused"})
    purpose = fields.String(validate=_WORD)
    product = fields.String(validate=_WORD)
    class_ = fields.Integer(data_key="class", attribute="class", validate=validate.Range(1, 7))
    since = fields.AwareDateTime(
        "iso", data_key="from", validate=_SANE, metadata={"description": "from this instant on"}
    )
    until = fields.AwareDateTime("iso", data_key="to", validate=_SANE, metadata={"description": "before this instant"})


class FilterSchema(FiltersSchema, PageSchema):
    """Filters, and where the page begins."""


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
    receipt = fields.String(
        required=True, allow_none=True, metadata={"description": "null for a page of a screening, which showed many"}
    )


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
    leaf = fields.Integer(required=True, allow_none=True, metadata={"description": "its place on the log, once sealed"})
    retained = fields.Boolean(required=True, metadata={"description": "false: past its retention, only this is left"})


class OneEntrySchema(EntrySchema):
    salt = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "hex; SHA-256 of it and operator or reference is the digest in the receipt"},
    )


class EntryListSchema(Schema):
    size = fields.Integer(required=True, metadata={"description": "leaves of the log when the first page was read"})
    entries = fields.List(fields.Nested(EntrySchema), required=True)
    next_cursor = fields.String(required=True, allow_none=True)


class TimelineSchema(Schema):
    entries = fields.List(fields.Nested(EntrySchema), required=True)
    next_cursor = fields.String(required=True, allow_none=True)


class PeriodSchema(Schema):
    first = fields.Date(required=True, data_key="from", validate=_SANE_DAY)
    last = fields.Date(required=True, data_key="to", validate=_SANE_DAY)


class FindingSchema(Schema):
    rule = fields.String(required=True)
    day = fields.Date(required=True)
    reason = fields.String(required=True)
    count = fields.Integer(required=True)
    limit = fields.Integer(required=True, metadata={"description": "from this count on there is a finding"})
    about = fields.Dict(required=True)
    evidence = fields.List(fields.String(), required=True, metadata={"description": "ids of the first 20 entries"})


class FindingListSchema(Schema):
    from_ = fields.Date(required=True, data_key="from")
    to = fields.Date(required=True)
    findings = fields.List(fields.Nested(FindingSchema), required=True)
    more = fields.Boolean(required=True, metadata={"description": "true: only the first 1,000 are listed"})


class RangeSchema(FiltersSchema):
    """A range of leaves, of those that fit all filters given, and the form in which they are taken away."""

    leaf_from = fields.Integer(load_default=0, validate=validate.Range(0, 2**53))
    leaf_to = fields.Integer(
        load_default=None,
        validate=validate.Range(1, 2**53),
        metadata={"description": "one beyond the last; default: all"},
    )
    format = fields.String(load_default="ndjson", validate=validate.OneOf(FORMS))


class ExportSchema(RangeSchema):
    request = fields.String(
        validate=validate.Length(1, 36), metadata={"description": "a confirmed request, instead of all others"}
    )


class NewExportRequestSchema(RangeSchema):
    reason = fields.String(required=True, validate=validate.Length(1, 400))


class ExportRequestSchema(Schema):
    request_id = fields.String(required=True)
    leaf_from = fields.Integer(required=True)
    leaf_to = fields.Integer(required=True)
    format = fields.String(required=True)
    asked = fields.Dict(required=True, metadata={"description": "the filters"})
    shown = fields.Integer(required=True, metadata={"description": "how many entries it will give"})
    reason = fields.String(required=True)
    status = fields.String(required=True, validate=validate.OneOf(["requested", "lapsed", "confirmed", "expired"]))
    requested_by = fields.String(required=True)
    requested_at = fields.String(required=True)
    confirmed_by = fields.String(required=True, allow_none=True)
    confirmed_at = fields.String(required=True, allow_none=True)


class ExportRequestListSchema(Schema):
    requests = fields.List(fields.Nested(ExportRequestSchema), required=True)
    next_cursor = fields.String(required=True, allow_none=True)
