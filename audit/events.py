# SPDX-License-Identifier: Apache-2.0
"""What can be written on the trail: `subject.act`, one name for each kind of entry."""

from enum import StrEnum


class Event(StrEnum):
    QUERY_ANSWERED = "query.answered"
    QUERY_REFUSED = "query.refused"
    QUERY_REPLAYED = "query.replayed"
    CONSENT_GRANTED = "consent.granted"
    CONSENT_REVOKED = "consent.revoked"
    CONSENT_REQUESTED = "consent.requested"
    CONSENT_REJECTED = "consent.rejected"
    CONSENT_PAUSED = "consent.paused"
    CONSENT_RESUMED = "consent.resumed"
    CONSENT_CONSUMED = "consent.consumed"
    CONSENT_SUSPENSION_PROPOSED = "consent.suspension-proposed"
    CONSENT_SUSPENDED = "consent.suspended"
    CONSENT_REINSTATEMENT_PROPOSED = "consent.reinstatement-proposed"
    CONSENT_REINSTATED = "consent.reinstated"
    KEY_REGISTERED = "enterprise-key.registered"
    KEY_RETIRED = "enterprise-key.retired"
    COVERAGE_ENROLLED = "coverage.enrolled"
    COVERAGE_LISTED = "coverage.listed"
    BATCH_RECEIVED = "batch.received"
    INSTITUTION_ADDED = "institution.added"
    CLIENT_ADDED = "client.added"
    CLIENT_DISABLED = "client.disabled"
    PERSON_ADDED = "person.added"
