# SPDX-License-Identifier: Apache-2.0
"""What the routes about people take and give. Inputs are validated here; answers are only documented."""

from marshmallow import Schema, fields, validate

from access.people import ROLE_SCOPES, USERNAME


class TotpSecretSchema(Schema):
    secret = fields.String(required=True, metadata={"description": "base32, shown once"})
    uri = fields.String(required=True, metadata={"description": "otpauth://…, for an authenticator app"})


class TotpCodeSchema(Schema):
    code = fields.String(required=True, validate=validate.Regexp(r"^[0-9]{6}$"))


class RecoveryCodesSchema(Schema):
    recovery_codes = fields.List(fields.String(), required=True, metadata={"description": "each good once; shown once"})


class PasswordChangeSchema(Schema):
    current = fields.String(required=True, validate=validate.Length(1, 200))
    new = fields.String(required=True, validate=validate.Length(1, 200))


class PersonSchema(Schema):
    username = fields.String(required=True)
    role = fields.String(required=True)
    name = fields.String(required=True, allow_none=True)
    staff_no = fields.String(required=True, allow_none=True)
    uscc = fields.String(required=True, allow_none=True)
    status = fields.String(required=True)
    second_factor = fields.Boolean(required=True)
    created_at = fields.String(required=True)


class PersonListSchema(Schema):
    people = fields.List(fields.Nested(PersonSchema), required=True)
    next_cursor = fields.String(required=True, allow_none=True)


class NewcomerSchema(Schema):
    role = fields.String(required=True, validate=validate.OneOf(tuple(ROLE_SCOPES)))
    uscc = fields.String(validate=validate.Length(1, 32), metadata={"description": "of an enterprise's signatory"})
    name = fields.String(required=True, validate=validate.Length(1, 200))
    staff_no = fields.String(validate=validate.Length(1, 64), metadata={"description": "of staff"})


class InvitationSchema(Schema):
    invitation_id = fields.String(required=True)
    role = fields.String(required=True)
    uscc = fields.String(required=True, allow_none=True)
    name = fields.String(required=True)
    staff_no = fields.String(required=True, allow_none=True)
    status = fields.String(required=True, metadata={"description": "unconfirmed, open, accepted, expired"})
    made_by = fields.String(required=True)
    made_at = fields.String(required=True)
    confirmed_by = fields.String(required=True, allow_none=True)
    expires_at = fields.String(required=True)


class InvitationWithCodeSchema(InvitationSchema):
    code = fields.String(
        required=True,
        metadata={"description": "shown once: whole, or one half from each of the two who invite and confirm"},
    )


class InvitationListSchema(Schema):
    invitations = fields.List(fields.Nested(InvitationSchema), required=True)
    next_cursor = fields.String(required=True, allow_none=True)


class AcceptanceSchema(Schema):
    code = fields.String(
        required=True,
        validate=validate.Length(1, 128),
        metadata={"description": "as handed over; two halves with a dot between: the inviter's, the confirmer's"},
    )
    username = fields.String(required=True, validate=validate.Regexp(f"^{USERNAME}$"))
    password = fields.String(required=True, validate=validate.Length(1, 200))


class AcceptedSchema(Schema):
    username = fields.String(required=True)
    role = fields.String(required=True)
