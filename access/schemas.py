# SPDX-License-Identifier: Apache-2.0
"""What the access routes take and give. Inputs are validated here; answers are only documented."""

from marshmallow import EXCLUDE, Schema, fields, validate

from access import assertions
from kernel.cursors import MAX_PAGE_ROWS


class CredentialsSchema(Schema):
    username = fields.String(required=True, validate=validate.Length(1, 64))
    password = fields.String(required=True, validate=validate.Length(1, 200))
    totp = fields.String(
        validate=validate.Length(1, 32),
        metadata={"description": "the second factor's current code, or a recovery code; once enrolled"},
    )


class SessionSchema(Schema):
    token = fields.String(required=True)
    expires_at = fields.DateTime(required=True)
    scopes = fields.List(fields.String(), required=True)


class PageSchema(Schema):
    cursor = fields.String(validate=validate.Length(1, 128))
    limit = fields.Integer(load_default=50, validate=validate.Range(1, MAX_PAGE_ROWS))


class OwnSessionSchema(Schema):
    session_id = fields.String(required=True)
    opened_at = fields.DateTime(required=True)
    last_used_at = fields.DateTime(required=True, metadata={"description": "to the minute"})
    expires_at = fields.DateTime(required=True)
    scopes = fields.List(fields.String(), required=True)
    current = fields.Boolean(required=True, metadata={"description": "whether it is the one that asks"})


class SessionListSchema(Schema):
    sessions = fields.List(fields.Nested(OwnSessionSchema), required=True)
    next_cursor = fields.String(required=True, allow_none=True)


class AuthenticatedSchema(Schema):
    """What a form carries where the client signs (RFC 7521 §4.2); unknown parameters are ignored (RFC 6749 §3.2)."""

    class Meta:
        unknown = EXCLUDE

    client_id = fields.String(metadata={"description": "not needed; where it is sent it must be the assertion's"})
    client_assertion_type = fields.String(validate=validate.OneOf((assertions.TYPE,)))
    client_assertion = fields.String(
        validate=validate.Length(1, assertions.MOST_BYTES),
        metadata={"description": "private_key_jwt (RFC 7523); without it HTTP Basic counts"},
    )


class TokenRequestSchema(AuthenticatedSchema):
    """RFC 6749 §4.4.2 and §4.1.3."""

    grant_type = fields.String(required=True, validate=validate.OneOf(("client_credentials", "authorization_code")))
    scope = fields.String(metadata={"description": "space-separated; default: all that the client is registered for"})
    code = fields.String(metadata={"description": "from the redirect; works once, for 60 seconds"})
    redirect_uri = fields.String(metadata={"description": "with a code: that of the push"})
    code_verifier = fields.String(metadata={"description": "with a code (RFC 7636)"})


class PushedRequestSchema(AuthenticatedSchema):
    """RFC 9126 §2.1; unknown parameters are ignored."""

    response_type = fields.String(required=True, validate=validate.OneOf(("code",)))
    redirect_uri = fields.String(required=True, metadata={"description": "registered, character by character"})
    code_challenge = fields.String(required=True, validate=validate.Length(43, 43))
    code_challenge_method = fields.String(required=True, validate=validate.OneOf(("S256",)))
    authorization_details = fields.String(
        required=True,
        metadata={"description": "a JSON array of one object of the type credit_query: docs/consent-by-redirect.md"},
    )
    state = fields.String(validate=validate.Length(1, 400))
    scope = fields.String(metadata={"description": "credit:query, or left out"})
    dpop_jkt = fields.String(
        validate=validate.Length(43, 43), metadata={"description": "the key that the token will be bound to"}
    )


class PushedSchema(Schema):
    """RFC 9126 §2.2."""

    request_uri = fields.String(required=True)
    expires_in = fields.Integer(required=True, metadata={"description": "seconds"})


class TokenSchema(Schema):
    access_token = fields.String(required=True)
    token_type = fields.String(required=True, validate=validate.OneOf(("Bearer", "DPoP")))
    expires_in = fields.Integer(required=True, metadata={"description": "seconds"})
    scope = fields.String(required=True)
    authorization_details = fields.List(
        fields.Dict(),
        metadata={"description": "of a code: what was granted, with its consent_id (RFC 9396 §7)"},
    )


class TokenReferenceSchema(AuthenticatedSchema):
    token = fields.String(required=True)
    token_type_hint = fields.String()


class ConfirmationSchema(Schema):
    """RFC 9449 §6.2."""

    jkt = fields.String(required=True, metadata={"description": "the key's thumbprint (RFC 7638)"})


class IntrospectionSchema(Schema):
    """RFC 7662 §2.2."""

    active = fields.Boolean(required=True)
    client_id = fields.String()
    token_type = fields.String()
    scope = fields.String()
    iss = fields.String()
    iat = fields.Integer()
    exp = fields.Integer()
    cnf = fields.Nested(ConfirmationSchema, metadata={"description": "of a token that is bound to a key"})
    authorization_details = fields.List(
        fields.Dict(), metadata={"description": "of a token that a code bought: what was granted (RFC 9396 §9.2)"}
    )


class MetadataSchema(Schema):
    """RFC 8414 §2."""

    issuer = fields.String(required=True)
    authorization_endpoint = fields.String(required=True)
    pushed_authorization_request_endpoint = fields.String(required=True)
    require_pushed_authorization_requests = fields.Boolean(required=True)
    token_endpoint = fields.String(required=True)
    introspection_endpoint = fields.String(required=True)
    revocation_endpoint = fields.String(required=True)
    jwks_uri = fields.String(required=True)
    scopes_supported = fields.List(fields.String(), required=True)
    response_types_supported = fields.List(fields.String(), required=True)
    response_modes_supported = fields.List(fields.String(), required=True)
    grant_types_supported = fields.List(fields.String(), required=True)
    code_challenge_methods_supported = fields.List(fields.String(), required=True)
    authorization_response_iss_parameter_supported = fields.Boolean(required=True)
    authorization_details_types_supported = fields.List(fields.String(), required=True)
    token_endpoint_auth_methods_supported = fields.List(fields.String(), required=True)
    introspection_endpoint_auth_methods_supported = fields.List(fields.String(), required=True)
    revocation_endpoint_auth_methods_supported = fields.List(fields.String(), required=True)
    token_endpoint_auth_signing_alg_values_supported = fields.List(fields.String(), required=True)
    introspection_endpoint_auth_signing_alg_values_supported = fields.List(fields.String(), required=True)
    revocation_endpoint_auth_signing_alg_values_supported = fields.List(fields.String(), required=True)
    dpop_signing_alg_values_supported = fields.List(fields.String(), required=True)


class JwksSchema(Schema):
    """RFC 7517 §5."""

    keys = fields.List(fields.Dict(), required=True)
