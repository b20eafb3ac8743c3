# SPDX-License-Identifier: Apache-2.0
"""What the consent routes take and give. Inputs are validated here; answers are only documented."""

from datetime import UTC, datetime

from marshmallow import Schema, ValidationError, fields, validate

from access.institutions import KINDS
from consent.evidence import ALGORITHMS
from consent.question import CLASSES, PRODUCTS, PURPOSES
from consent.terms import PERIODS
from kernel.cursors import MAX_PAGE_ROWS

# Beyond the years 1 and 9999 an offset leads out of the calendar, and a year of three digits is no RFC 3339.
IN_OUR_TIME = validate.Range(datetime(2000, 1, 1, tzinfo=UTC), datetime(3000, 1, 1, tzinfo=UTC))


HEX_SHA256 = [validate.Length(64, 64), validate.Regexp(r"^[0-9a-f]{64}$")]


def faults_of(error: ValidationError) -> dict[str, list[str]]:
    """Field → what is wrong with it, of a form or document that a schema refused."""
    faults: dict[str, list[str]] = error.normalized_messages()  # type: ignore[no-untyped-call]
    return faults


def some_of(names: tuple[str, ...]) -> list[validate.Validator]:
    """Validators of a list that names at least one of `names` and nothing else."""
    return [validate.Length(1, len(names)), validate.ContainsOnly(names)]


class FrequencySchema(Schema):
    """At most `count` answers in each calendar period of Asia/Shanghai, for each institution."""

    count = fields.Integer(required=True, strict=True, validate=validate.Range(1, 1_000_000))
    per = fields.String(required=True, validate=validate.OneOf(PERIODS))


class HistorySchema(Schema):
    """Only events of the last `months` months are shown; what holds till replaced (registration) is not cut."""

    months = fields.Integer(required=True, strict=True, validate=validate.Range(1, 600))


class NoticeSchema(Schema):
    """The notice that the signatory was shown."""

    version = fields.String(required=True, validate=validate.Length(1, 40))
    sha256 = fields.String(required=True, validate=HEX_SHA256)
    language = fields.String(required=True, validate=validate.OneOf(("zh-CN", "en")))


class AttestationSchema(Schema):
    """What proves the consent: where it was given and how, the document, who signed."""

    channel = fields.String(required=True, validate=validate.OneOf(("api", "page", "counter", "institution")))
    method = fields.String(
        required=True, validate=validate.OneOf(("session", "electronic_signature", "seal", "handwritten"))
    )
    document_sha256 = fields.String(validate=HEX_SHA256)
    signatory = fields.String(required=True, validate=validate.Length(1, 64))


class EvidenceSchema(AttestationSchema):
    """The same, with the enterprise's own signature over the grant."""

    jws = fields.String(
        validate=validate.Length(1, 2_000),
        metadata={
            "description": "detached JWS (RFC 7515 App. F) over the canonical JSON (RFC 8785) of this very body "
            f"without this member, by a registered key of the enterprise: {', '.join(ALGORITHMS)}; header kid, iat"
        },
    )


class TermsSchema(Schema):
    """What grants and requests for one have in common."""

    uscc = fields.String(required=True, validate=validate.Length(1, 32))
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
        metadata={"description": "null: open-ended (长期), until the policy's limit"},
    )
    max_queries = fields.Integer(strict=True, load_default=None, allow_none=True, validate=validate.Range(1, 1_000_000))
    frequency = fields.Nested(FrequencySchema, load_default=None, allow_none=True)
    history = fields.Nested(HistorySchema, load_default=None, allow_none=True)
    notice = fields.Nested(NoticeSchema, load_default=None, allow_none=True)


class GrantSchema(TermsSchema):
    scope = fields.String(load_default="query", validate=validate.OneOf(("query", "collect")))
    grantee = fields.String(
        load_default=None,
        validate=validate.Length(1, 64),
        metadata={"description": f"an institution's id, kind:<{'|'.join(KINDS)}>, or platform"},
    )
    evidence = fields.Nested(EvidenceSchema, load_default=None, allow_none=True)


class RequestSchema(TermsSchema):
    """What an institution asks an enterprise to allow itself."""


class ApprovalSchema(Schema):
    """Terms narrower than those asked for; none: as asked."""

    classes = fields.List(fields.Integer(strict=True, validate=validate.OneOf(CLASSES)), validate=validate.Length(1, 7))
    products = fields.List(fields.String(), validate=some_of(PRODUCTS))
    purposes = fields.List(fields.String(), validate=some_of(PURPOSES))
    expires_at = fields.AwareDateTime(format="iso", validate=IN_OUR_TIME)
    max_queries = fields.Integer(strict=True, validate=validate.Range(1, 1_000_000))
    frequency = fields.Nested(
        FrequencySchema,
        metadata={
            "description": "in any period, as long as it leaves no more possible in the period that was asked for"
        },
    )
    history = fields.Nested(HistorySchema)
    notice = fields.Nested(NoticeSchema, load_default=None, allow_none=True)
    evidence = fields.Nested(AttestationSchema, load_default=None, allow_none=True)


class ReasonSchema(Schema):
    reason = fields.String(load_default=None, allow_none=True, validate=validate.Length(1, 400))


class PublicKeySchema(Schema):
    jwk = fields.Dict(required=True, metadata={"description": "a public JWK (RFC 7517): P-256, Ed25519 or RSA"})


class KeySchema(Schema):
    kid = fields.String(required=True, metadata={"description": "RFC 7638 thumbprint"})
    jwk = fields.Dict(required=True)
    registered_at = fields.String(required=True)
    retired_at = fields.String(required=True, allow_none=True)


class KeyListSchema(Schema):
    keys = fields.List(fields.Nested(KeySchema), required=True)


class ConsentSchema(Schema):
    """A version as the bureau signed it, but for `status`, which may have become `expired` or `lapsed` since."""

    consent_id = fields.String(required=True)
    version = fields.Integer(required=True)
    previous = fields.String(
        required=True, allow_none=True, metadata={"description": "hex SHA-256 of the previous version (RFC 8785)"}
    )
    uscc = fields.String(required=True)
    scope = fields.String(required=True)
    grantee = fields.String(required=True)
    classes = fields.List(fields.Integer(), required=True)
    products = fields.List(fields.String(), required=True)
    purposes = fields.List(fields.String(), required=True)
    not_before = fields.String(required=True)
    expires_at = fields.String(required=True, allow_none=True)
    max_queries = fields.Integer(required=True, allow_none=True)
    frequency = fields.Nested(FrequencySchema, required=True, allow_none=True)
    history = fields.Nested(HistorySchema, required=True, allow_none=True)
    notice = fields.Nested(NoticeSchema, required=True, allow_none=True)
    evidence = fields.Dict(required=True, allow_none=True)
    status = fields.String(required=True)
    reason = fields.String(required=True, allow_none=True)
    granted_at = fields.String(required=True, allow_none=True)
    lapses_at = fields.String(required=True, allow_none=True)
    changed_at = fields.String(required=True)
    signature = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "detached JWS over the version's canonical JSON; keys at /oauth/jwks"},
    )


class ConsentVersionSchema(ConsentSchema):
    """A version as signed: the canonical JSON of all members but `signature` is what the signature covers."""


class ConsentWithHistorySchema(ConsentSchema):
    versions = fields.List(fields.Nested(ConsentVersionSchema), required=True)


class ConsentListSchema(Schema):
    consents = fields.List(fields.Nested(ConsentSchema), required=True)
    next_cursor = fields.String(required=True, allow_none=True)


class ConsentFilterSchema(Schema):
    uscc = fields.String(validate=validate.Length(1, 32))
    cursor = fields.String(validate=validate.Length(1, 128))
    limit = fields.Integer(load_default=50, validate=validate.Range(1, MAX_PAGE_ROWS))
