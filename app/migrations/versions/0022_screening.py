# SPDX-License-Identifier: Apache-2.0
"""Screening: snapshots of indicators, and who was shown on which page."""

import sqlalchemy as sa
from alembic import op

from kernel.db import Instant

revision = "0022"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "screening_snapshot",
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("publication", sa.Integer(), nullable=False),
        sa.Column("time", Instant(timezone=True), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_screening_snapshot")),
    )
    op.create_table(
        "screening_column",
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("code", sa.String(length=40), nullable=False),
        sa.Column("ciphertext", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("version", "code", name=op.f("pk_screening_column")),
    )
    op.create_table(
        "shown",
        sa.Column("uscc", sa.String(length=32), nullable=False),
        sa.Column("entry", sa.String(length=36), nullable=False),
        sa.Column("consent", sa.String(length=36), nullable=False),
        sa.Column("salt", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["entry"], ["entry.id"], name=op.f("fk_shown_entry")),
        sa.PrimaryKeyConstraint("uscc", "entry", name=op.f("pk_shown")),
    )
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "CREATE TRIGGER shown_append_only BEFORE UPDATE OR DELETE ON shown "
            "FOR EACH ROW EXECUTE FUNCTION refuse_change()"
        )
    else:
        for act in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER shown_no_{act.lower()} BEFORE {act} ON shown "
                "BEGIN SELECT RAISE(ABORT, 'the trail is append-only'); END"
            )
