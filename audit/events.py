# SPDX-License-Identifier: Apache-2.0
"""What can be written on the trail: `subject.act`, one name for each kind of entry."""

from enum import StrEnum


class Event(StrEnum):
    QUERY_ANSWERED = "query.answered"
    QUERY_REFUSED = "query.refused"
    QUERY_REPLAYED = "query.replayed"
    CONSENT_GRANTED = "consent.granted"
    CONSENT_REVOKED = "consent.revoked"
    BATCH_RECEIVED = "batch.received"
    INSTITUTION_ADDED = "institution.added"
    CLIENT_ADDED = "client.added"
    CLIENT_DISABLED = "client.disabled"
    PERSON_ADDED = "person.added"
    PERSON_DISABLED = "person.disabled"
    PERSON_ENABLED = "person.enabled"
    INVITATION_MADE = "invitation.made"
    INVITATION_CONFIRMED = "invitation.confirmed"
    PASSWORD_CHANGED = "password.changed"  # noqa: S105  # the name of an act
    TOTP_ENROLLED = "totp.enrolled"
    TOTP_RESET = "totp.reset"
    SESSION_OPENED = "session.opened"
    SIGN_IN_LOCKED = "sign-in.locked"
    STAFF_VIEWED = "staff.viewed"
