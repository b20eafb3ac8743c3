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
    INSTITUTION_APPLIED = "institution.applied"
    INSTITUTION_APPROVED = "institution.approved"
    INSTITUTION_SUSPENDED = "institution.suspended"
    INSTITUTION_RESUMED = "institution.resumed"
    INSTITUTION_CLOSED = "institution.closed"
    INSTITUTION_CHANGED = "institution.changed"
    SOURCE_APPLIED = "source.applied"
    SOURCE_APPROVED = "source.approved"
    SOURCE_SUSPENDED = "source.suspended"
    SOURCE_RESUMED = "source.resumed"
    SOURCE_CLOSED = "source.closed"
    SOURCE_CHANGED = "source.changed"
    CLIENT_ADDED = "client.added"
    CLIENT_CHANGED = "client.changed"
    CLIENT_ROTATED = "client.rotated"
    CLIENT_DISABLED = "client.disabled"
    CLIENT_ENABLED = "client.enabled"
    SWITCH_STOPPED = "switch.stopped"
    SWITCH_STARTED = "switch.started"
    PERSON_ADDED = "person.added"
