# SPDX-License-Identifier: Apache-2.0
"""What onboarding routes take and give. Inputs are validated here; answers are only documented."""

from typing import Any

from marshmallow import Schema, fields, validate

from access import client_keys, clients, lifecycle, redirects, registered, switch
from access.institutions import KINDS, MAX_PER_DAY, MAX_PER_SECOND, PRODUCTS, PURPOSES
from kernel import jose
from kernel.cursors import MAX_PAGE_ROWS

MAX_NETWORKS = 64
CONTRACT_REF, BASIS, REASON = validate.Length(1, 120), validate.Length(1, 400), validate.Length(1, 400)
CIDR = validate.Length(1, 64)


def _networks() -> Any:
    return fields.List(
        fields.String(validate=CIDR),
        validate=validate.Length(0, MAX_NETWORKS),
        metadata={"description": "CIDRs, IPv4 or IPv6; empty allows all"},
    )


def _limit(most: int, told: str) -> fields.Integer:
    return fields.Integer(
        strict=True, allow_none=True, validate=validate.Range(0, most), metadata={"description": told}
    )


class ContractSchema(Schema):
    """What institutions and sources have in common; what is left out stays as it is."""

    contract_ref = fields.String(allow_none=True, validate=CONTRACT_REF)
    contract_until = fields.Date(
        format="iso", allow_none=True, metadata={"description": "its last day, Asia/Shanghai; null: open-ended"}
    )
    networks = _networks()


class InstitutionTermsSchema(ContractSchema):
    products = fields.List(
        fields.String(validate=validate.OneOf(PRODUCTS)),
        validate=validate.Length(0, len(PRODUCTS)),
        metadata={"description": "empty allows all"},
    )
    purposes = fields.List(
        fields.String(validate=validate.OneOf(PURPOSES)),
        validate=validate.Length(0, len(PURPOSES)),
        metadata={"description": "empty allows all"},
    )
    per_second = _limit(MAX_PER_SECOND, "requests a second of all its clients; null: no limit")
    per_day = _limit(MAX_PER_DAY, "questions a day of Asia/Shanghai; null: no limit")


class ApplicationSchema(InstitutionTermsSchema):
    name = fields.String(required=True, validate=validate.Length(1, 200))
    kind = fields.String(required=True, validate=validate.OneOf(KINDS))


class SourceTermsSchema(ContractSchema):
    basis = fields.String(
        allow_none=True, validate=BASIS, metadata={"description": "the law or agreement that it delivers under"}
    )


class SourceApplicationSchema(SourceTermsSchema):
    source = fields.String(required=True, validate=validate.Length(1, 8))


class ActSchema(Schema):
    reason = fields.String(
        load_default=None, allow_none=True, validate=REASON, metadata={"description": "required to suspend and close"}
    )


class InstitutionSchema(InstitutionTermsSchema):
    institution = fields.String(required=True)
    name = fields.String(required=True)
    kind = fields.String(required=True)
    status = fields.String(required=True, validate=validate.OneOf(lifecycle.STATUSES))
    applied_by = fields.String(required=True, allow_none=True)
    reason = fields.String(required=True, allow_none=True)
    created_at = fields.String(required=True)


class InstitutionListSchema(Schema):
    institutions = fields.List(fields.Nested(InstitutionSchema), required=True)
    next_cursor = fields.String(required=True, allow_none=True)


class SourceSchema(SourceTermsSchema):
    source = fields.String(required=True)
    name = fields.String(required=True)
    status = fields.String(required=True, validate=validate.OneOf((*lifecycle.STATUSES, "unregistered")))
    applied_by = fields.String(allow_none=True)
    reason = fields.String(allow_none=True)
    created_at = fields.String()


class SourceListSchema(Schema):
    sources = fields.List(fields.Nested(SourceSchema), required=True)
    next_cursor = fields.String(required=True, allow_none=True)


class RegistrationsPageSchema(Schema):
    status = fields.String(validate=validate.OneOf(lifecycle.STATUSES))
    cursor = fields.String(validate=validate.Length(1, 128))
    limit = fields.Integer(load_default=50, validate=validate.Range(1, MAX_PAGE_ROWS))


class PartyPageSchema(Schema):
    cursor = fields.String(validate=validate.Length(1, 128))
    limit = fields.Integer(load_default=50, validate=validate.Range(1, MAX_PAGE_ROWS))


def _redirect_uris(**options: Any) -> Any:
    told = "where an enterprise's answer may be sent, character by character: https, or http on the machine itself"
    uri = fields.String(validate=validate.Length(1, redirects.MOST_CHARS))
    return fields.List(uri, validate=validate.Length(0, redirects.MOST), metadata={"description": told}, **options)


class KeysSchema(Schema):
    """The keys of a client that signs: one of the two."""

    jwks = fields.Dict(metadata={"description": "a JWK set (RFC 7517) of public keys"})
    jwks_uri = fields.String(
        validate=validate.Length(1, client_keys.MOST_URI), metadata={"description": "where the client publishes them"}
    )


class NewClientSchema(KeysSchema):
    scopes = fields.List(fields.String(validate=validate.Length(1, 40)), required=True, validate=validate.Length(1, 8))
    per_second = _limit(MAX_PER_SECOND, "its own limit; null: what is shipped")
    auth_method = fields.String(load_default=registered.SECRET, validate=validate.OneOf(registered.AUTH_METHODS))
    algorithms = fields.List(
        fields.String(validate=validate.OneOf(jose.ALGORITHMS)),
        validate=validate.Length(0, len(jose.ALGORITHMS)),
        metadata={"description": "what it may sign with; left out: what its keys can"},
    )
    dpop_bound = fields.Boolean(
        load_default=False, metadata={"description": "it gets only tokens that are bound to a key (RFC 9449)"}
    )


class NewInstitutionClientSchema(NewClientSchema):
    redirect_uris = _redirect_uris(load_default=list)


class RedirectsSchema(Schema):
    redirect_uris = _redirect_uris(required=True)


class ClientLimitSchema(Schema):
    per_second = fields.Integer(required=True, strict=True, allow_none=True, validate=validate.Range(0, MAX_PER_SECOND))


class RotationSchema(KeysSchema):
    overlap_hours = fields.Integer(
        load_default=int(clients.OVERLAP.total_seconds()) // 3600,
        strict=True,
        validate=validate.Range(0, clients.MAX_OVERLAP_HOURS),
        metadata={"description": "how long what it had before works on; 0: not at all"},
    )


class SecretSchema(Schema):
    client_id = fields.String(required=True)
    client_secret = fields.String(
        required=True, allow_none=True, metadata={"description": "shown once; null for a client that signs"}
    )


class LiveSecretSchema(Schema):
    created_at = fields.String(required=True)
    expires_at = fields.String(required=True, allow_none=True)


class LiveKeySchema(LiveSecretSchema):
    thumbprint = fields.String(required=True, metadata={"description": "RFC 7638"})
    kid = fields.String(required=True, allow_none=True)
    kty = fields.String(required=True)


class ClientSchema(Schema):
    client_id = fields.String(required=True)
    institution = fields.String(required=True, allow_none=True)
    source = fields.String(required=True, allow_none=True)
    scopes = fields.List(fields.String(), required=True)
    status = fields.String(required=True)
    per_second = fields.Integer(required=True, allow_none=True)
    created_at = fields.String(required=True)
    redirect_uris = _redirect_uris(required=True)
    auth_method = fields.String(required=True)
    algorithms = fields.List(fields.String(), required=True)
    dpop_bound = fields.Boolean(required=True)
    secrets = fields.List(fields.Nested(LiveSecretSchema), required=True)
    keys = fields.List(fields.Nested(LiveKeySchema), required=True)
    jwks_uri = fields.String(required=True, allow_none=True)
    jwks_fetched_at = fields.String(required=True, allow_none=True)
    jwks_fault = fields.String(required=True, allow_none=True, metadata={"description": "of the last fetch"})


class ClientListSchema(Schema):
    clients = fields.List(fields.Nested(ClientSchema), required=True)
    next_cursor = fields.String(required=True, allow_none=True)


class StopSchema(Schema):
    target = fields.String(required=True, validate=validate.OneOf(switch.TARGETS))
    id = fields.String(load_default=None, validate=validate.Length(1, 64))
    reason = fields.String(required=True, validate=REASON)


class SwitchSchema(Schema):
    switch = fields.String(required=True, metadata={"description": "all, client:ID or institution:ID"})
    reason = fields.String(required=True)
    stopped_by = fields.String(required=True)
    stopped_at = fields.String(required=True)


class SwitchListSchema(Schema):
    switches = fields.List(fields.Nested(SwitchSchema), required=True)
    next_cursor = fields.String(required=True, allow_none=True)
