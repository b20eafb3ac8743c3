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
