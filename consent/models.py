# SPDX-License-Identifier: Apache-2.0
"""Consents as they stand, and every version they ever had."""

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, LargeBinary, String, Table

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
    Column("granted_at", Instant, nullable=False),
    Column("changed_at", Instant, nullable=False),
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

consent_version = Table(
    "consent_version",
    metadata,
    Column("consent", String(36), ForeignKey("consent.id"), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("document", LargeBinary, nullable=False),  # canonical JSON (RFC 8785) of the consent at this version
)
