# SPDX-License-Identifier: Apache-2.0
"""Reward statements, frozen and append-only, and what two people correct in them."""

import sqlalchemy as sa
from alembic import op

from kernel.db import Instant

revision = "0038"
down_revision = "0060"
branch_labels = None
depends_on = None

TABLE = "reward_statement"


def upgrade() -> None:
    op.create_table(
        TABLE,
        sa.Column("year", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("number", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("leaf_to", sa.BigInteger(), nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.Column("signature", sa.Text(), nullable=False),
        sa.Column("frozen_at", Instant(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("year", "number", name=op.f("pk_reward_statement")),
    )
    op.create_table(
        "reward_correction",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("year", sa.SmallInteger(), nullable=False),
        sa.Column("billable", sa.Integer(), nullable=False),
        sa.Column("entries", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("proposed_by", sa.String(length=160), nullable=False),
        sa.Column("proposed_at", Instant(timezone=True), nullable=False),
        sa.Column("confirmed_by", sa.String(length=160), nullable=True),
        sa.Column("confirmed_at", Instant(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reward_correction")),
    )
    op.create_index(op.f("ix_reward_correction_year"), "reward_correction", ["year"])
    if op.get_bind().dialect.name == "postgresql":
        guard_on_postgresql()
    else:
        guard_on_sqlite()


def guard_on_postgresql() -> None:
    for name, acts, each in (("append_only", "UPDATE OR DELETE", "ROW"), ("no_truncate", "TRUNCATE", "STATEMENT")):
        op.execute(
            f"CREATE TRIGGER {TABLE}_{name} BEFORE {acts} ON {TABLE} FOR EACH {each} EXECUTE FUNCTION refuse_change()"
        )


def guard_on_sqlite() -> None:
    refuse = f"BEGIN SELECT RAISE(ABORT, '{TABLE} is append-only'); END"
    same = f"EXISTS (SELECT 1 FROM {TABLE} WHERE year = NEW.year AND number = NEW.number)"  # names only
    op.execute(f"CREATE TRIGGER {TABLE}_no_replace BEFORE INSERT ON {TABLE} WHEN {same} {refuse}")
    for act in ("UPDATE", "DELETE"):
        op.execute(f"CREATE TRIGGER {TABLE}_no_{act.lower()} BEFORE {act} ON {TABLE} {refuse}")
