# SPDX-License-Identifier: Apache-2.0
"""What the access routes take and give. Inputs are validated here; answers are only documented."""

from marshmallow import EXCLUDE, Schema, fields, validate

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


class TokenRequestSchema(Schema):
    """RFC 6749 §4.4.2; unknown parameters are ignored (§3.2)."""

    class Meta:
        unknown = EXCLUDE

    grant_type = fields.String(required=True, validate=validate.OneOf(("client_credentials",)))
    scope = fields.String(metadata={"description": "space-separated; default: all that the client is registered for"})


class TokenSchema(Schema):
    access_token = fields.String(required=True)
    token_type = fields.String(required=True)
    expires_in = fields.Integer(required=True, metadata={"description": "seconds"})
    scope = fields.String(required=True)


class TokenReferenceSchema(Schema):
    class Meta:
        unknown = EXCLUDE

    token = fields.String(required=True)
    token_type_hint = fields.String()


class IntrospectionSchema(Schema):
    """RFC 7662 §2.2."""

    active = fields.Boolean(required=True)
    client_id = fields.String()
    token_type = fields.String()
    scope = fields.String()
    iat = fields.Integer()
    exp = fields.Integer()


class MetadataSchema(Schema):
    """RFC 8414 §2."""

    issuer = fields.String(required=True)
    token_endpoint = fields.String(required=True)
    introspection_endpoint = fields.String(required=True)
    revocation_endpoint = fields.String(required=True)
    jwks_uri = fields.String(required=True)
    scopes_supported = fields.List(fields.String(), required=True)
    response_types_supported = fields.List(fields.String(), required=True)
    grant_types_supported = fields.List(fields.String(), required=True)
    token_endpoint_auth_methods_supported = fields.List(fields.String(), required=True)
    introspection_endpoint_auth_methods_supported = fields.List(fields.String(), required=True)
    revocation_endpoint_auth_methods_supported = fields.List(fields.String(), required=True)


class JwksSchema(Schema):
    """RFC 7517 §5."""

    keys = fields.List(fields.Dict(), required=True)
