# SPDX-License-Identifier: Apache-2.0
"""Feeds: whose turn it is, what was fetched, and alarms."""

import sqlalchemy as sa
from alembic import op

from kernel.db import Instant

revision = "0050"
down_revision = "0039"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "feed_state",
        sa.Column("feed", sa.String(length=80), nullable=False),
        sa.Column("since", Instant(timezone=True), nullable=False),
        sa.Column("due_at", Instant(timezone=True)),
        sa.Column("lease_by", sa.String(length=40)),
        sa.Column("lease_until", Instant(timezone=True)),
        sa.Column("tried_at", Instant(timezone=True)),
        sa.Column("pulled_at", Instant(timezone=True)),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("problem", sa.String(length=400)),
        sa.Column("mark", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("feed", name=op.f("pk_feed_state")),
    )
    op.create_table(
        "pulled_file",
        sa.Column("feed", sa.String(length=80), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("modified", sa.BigInteger(), nullable=False),
        sa.Column("batch", sa.String(length=12)),
        sa.Column("problem", sa.String(length=400)),
        sa.Column("time", Instant(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("feed", "name", name=op.f("pk_pulled_file")),
    )
    op.create_table(
        "feed_alarm",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("feed", sa.String(length=80), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("detail", sa.String(length=400), nullable=False),
        sa.Column("since", Instant(timezone=True), nullable=False),
        sa.Column("until", Instant(timezone=True)),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_feed_alarm")),
    )
    standing = sa.text('"until" IS NULL')
    op.create_index(
        "uq_feed_alarm_feed_kind", "feed_alarm", ["feed", "kind"],
        unique=True, postgresql_where=standing, sqlite_where=standing,
    )  # fmt: skip
