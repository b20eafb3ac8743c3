# SPDX-License-Identifier: Apache-2.0
"""The consent artefact: limits, requests, suspension by two, counters, signatures, enterprises' own keys."""

import sqlalchemy as sa
from alembic import op

from kernel.db import Instant

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # What was the time of the grant is from now on the time of the row; a request is not granted yet.
    op.execute("ALTER TABLE consent RENAME COLUMN granted_at TO created_at")
    op.add_column("consent", sa.Column("granted_at", Instant(timezone=True), nullable=True))
    op.execute("UPDATE consent SET granted_at = created_at")
    op.add_column("consent", sa.Column("max_queries", sa.Integer(), nullable=True))
    op.add_column("consent", sa.Column("frequency_count", sa.Integer(), nullable=True))
    op.add_column("consent", sa.Column("frequency_per", sa.String(length=8), nullable=True))
    op.add_column("consent", sa.Column("history_months", sa.Integer(), nullable=True))
    op.add_column("consent", sa.Column("suspended_from", sa.String(length=16), nullable=True))
    op.add_column("consent", sa.Column("lapses_at", Instant(timezone=True), nullable=True))
    op.add_column("consent", sa.Column("requested_by", sa.String(length=36), nullable=True))
    op.add_column("consent_version", sa.Column("signature", sa.String(length=400), nullable=True))
    op.create_table(
        "consent_use",
        sa.Column("consent", sa.String(length=36), nullable=False),
        sa.Column("institution", sa.String(length=36), nullable=False),
        sa.Column("period", sa.String(length=40), nullable=False),
        sa.Column("used", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["consent"], ["consent.id"], name=op.f("fk_consent_use_consent")),
        sa.PrimaryKeyConstraint("consent", "institution", "period", name=op.f("pk_consent_use")),
    )
    op.create_table(
        "consent_proposal",
        sa.Column("consent", sa.String(length=36), nullable=False),
        sa.Column("act", sa.String(length=16), nullable=False),
        sa.Column("actor", sa.String(length=160), nullable=False),
        sa.Column("reason", sa.String(length=400), nullable=True),
        sa.Column("proposed_at", Instant(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["consent"], ["consent.id"], name=op.f("fk_consent_proposal_consent")),
        sa.PrimaryKeyConstraint("consent", "act", name=op.f("pk_consent_proposal")),
    )
    op.create_table(
        "enterprise_key",
        sa.Column("uscc", sa.String(length=32), nullable=False),
        sa.Column("kid", sa.String(length=64), nullable=False),
        sa.Column("jwk", sa.Text(), nullable=False),
        sa.Column("registered_at", Instant(timezone=True), nullable=False),
        sa.Column("retired_at", Instant(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("uscc", "kid", name=op.f("pk_enterprise_key")),
    )
    op.create_table(
        "signing_key",
        sa.Column("kid", sa.String(length=64), nullable=False),
        sa.Column("use", sa.String(length=16), nullable=False),
        sa.Column("public", sa.Text(), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", Instant(timezone=True), nullable=False),
        sa.Column("retired_at", Instant(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("kid", name=op.f("pk_signing_key")),
    )
