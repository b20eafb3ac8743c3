# SPDX-License-Identifier: Apache-2.0
"""The reconciliation list: what sources contradict each other in, and how far it is.

What was delivered before is looked at by the worker, or by `bureau reconcile`, from the first publication on.
"""

import sqlalchemy as sa
from alembic import op

from kernel.db import Instant

revision = "0070"
down_revision = "0050"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "discrepancy",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("uscc", sa.String(length=32), nullable=False),
        sa.Column("fact", sa.String(length=40), nullable=False),
        sa.Column("about", sa.String(length=16), nullable=False),
        sa.Column("told", sa.String(length=16), nullable=False),
        sa.Column("statements", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("since", sa.Integer(), nullable=False),
        sa.Column("first_seen_at", Instant(timezone=True), nullable=False),
        sa.Column("last_seen_at", Instant(timezone=True), nullable=False),
        sa.Column("settled_at", Instant(timezone=True), nullable=True),
        sa.Column("reason", sa.String(length=400), nullable=True),
        sa.Column("explained_by", sa.String(length=120), nullable=True),
        sa.Column("explained_at", Instant(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_discrepancy")),
    )
    op.create_index("uq_discrepancy_uscc_fact_about", "discrepancy", ["uscc", "fact", "about"], unique=True)
    op.create_index("ix_discrepancy_state_id", "discrepancy", ["state", "id"])
    op.create_index("ix_discrepancy_first_seen_at", "discrepancy", ["first_seen_at"])
    op.create_table(
        "discrepancy_source",
        sa.Column("source", sa.String(length=8), nullable=False),
        sa.Column("discrepancy", sa.String(length=36), nullable=False),
        sa.Column("uscc", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(
            ["discrepancy"], ["discrepancy.id"], name=op.f("fk_discrepancy_source_discrepancy_discrepancy")
        ),
        sa.PrimaryKeyConstraint("source", "discrepancy", name=op.f("pk_discrepancy_source")),
    )
    op.create_index("ix_discrepancy_source_discrepancy", "discrepancy_source", ["discrepancy"])
    op.create_index("ix_discrepancy_source_uscc", "discrepancy_source", ["uscc"])
    made = op.create_table(
        "reconciliation",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("publication", sa.Integer(), nullable=False),
        sa.Column("upto", sa.Integer(), nullable=False),
        sa.Column("after", sa.String(length=32), nullable=False),
        sa.Column("rules", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reconciliation")),
    )
    op.bulk_insert(made, [{"id": 1, "publication": 0, "upto": 0, "after": "", "rules": ""}])
