# SPDX-License-Identifier: Apache-2.0
"""Consents as they stand, every version they ever had, how often they were used, and enterprises' own keys.

A consent's terms stand twice: as columns, by which it decides, and in its version's signed document, as shown.
"""

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, LargeBinary, String, Table, Text

from kernel.db import Instant, metadata

consent = Table(
    "consent",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("version", Integer, nullable=False),
    Column("uscc", String(32), nullable=False),
    Column("scope", String(8), nullable=False),  # query | collect
    Column("grantee", String(64), nullable=False),  # an institution's id, kind:<kind>, or platform
    Column("classes", String(32), nullable=False),  # comma-separated, as are products and purposes
    Column("products", String(200), nullable=False),
    Column("purposes", String(400), nullable=False),
    Column("not_before", Instant, nullable=False),
    Column("expires_at", Instant),  # null: open-ended (长期)
    Column("status", String(16), nullable=False),
    Column("reason", String(400)),
    # Of all consents for one (uscc, scope, grantee) the newest granted decides, whatever its state.
    Column("deciding", Boolean, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("granted_at", Instant),  # null as long as it is only requested
    Column("changed_at", Instant, nullable=False),
    Column("max_queries", Integer),
    Column("frequency_count", Integer),
    Column("frequency_per", String(8)),
    Column("history_months", Integer),
    Column("suspended_from", String(16)),
    Column("lapses_at", Instant),
    Column("requested_by", String(36)),  # the institution that asked for it
    # Set by a trigger at each write (see `screenable.changes`): the transaction's id, on SQLite a counter.
    Column("change", BigInteger, server_default="0", nullable=False),
)
Index(
    "uq_consent_deciding",
    consent.c.uscc,
    consent.c.scope,
    consent.c.grantee,
    unique=True,
    postgresql_where=consent.c.deciding,
    sqlite_where=consent.c.deciding,
)
Index("ix_consent_grantee_id", consent.c.grantee, consent.c.id)
Index("ix_consent_uscc_id", consent.c.uscc, consent.c.id)
Index("ix_consent_change", consent.c.change)

consent_version = Table(
    "consent_version",
    metadata,
    Column("consent", String(36), ForeignKey("consent.id"), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("document", LargeBinary, nullable=False),  # canonical JSON (RFC 8785) of the consent at this version
    Column("signature", String(400)),  # detached JWS by the bureau over exactly those bytes
)

consent_use = Table(
    "consent_use",
    metadata,
    Column("consent", String(36), ForeignKey("consent.id"), primary_key=True),
    Column("institution", String(36), primary_key=True),
    Column("period", String(40), primary_key=True),  # `all`, `2026-11`, `post_loan:2026`
    Column("used", Integer, nullable=False),
)

# What one member of the staff proposed and a second has not confirmed yet.
consent_proposal = Table(
    "consent_proposal",
    metadata,
    Column("consent", String(36), ForeignKey("consent.id"), primary_key=True),
    Column("act", String(16), primary_key=True),
    Column("actor", String(160), nullable=False),
    Column("reason", String(400)),
    Column("proposed_at", Instant, nullable=False),
)

enterprise_key = Table(
    "enterprise_key",
    metadata,
    Column("uscc", String(32), primary_key=True),
    Column("kid", String(64), primary_key=True),  # RFC 7638 thumbprint
    Column("jwk", Text, nullable=False),
    Column("registered_at", Instant, nullable=False),
    Column("retired_at", Instant),
)
