# SPDX-License-Identifier: Apache-2.0
"""Witnesses: each cosignature that came, and when a quorum of them stood under a checkpoint; kept for ever."""

import sqlalchemy as sa
from alembic import op

from kernel.db import Instant

revision = "0030"
down_revision = "0057"
branch_labels = None
depends_on = None

SAME = {
    "cosignature": "witness = NEW.witness AND size = NEW.size AND time = NEW.time",
    "witnessed": "size = NEW.size AND time = NEW.time",
}


def upgrade() -> None:
    op.create_table(
        "cosignature",
        sa.Column("witness", sa.String(length=400), nullable=False),
        sa.Column("size", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("time", Instant(timezone=True), nullable=False),
        sa.Column("line", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["size"], ["checkpoint.size"], name=op.f("fk_cosignature_size")),
        sa.PrimaryKeyConstraint("witness", "size", "time", name=op.f("pk_cosignature")),
    )
    op.create_index("ix_cosignature_size", "cosignature", ["size"])
    op.create_table(
        "witnessed",
        sa.Column("size", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("time", Instant(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["size"], ["checkpoint.size"], name=op.f("fk_witnessed_size")),
        sa.PrimaryKeyConstraint("size", "time", name=op.f("pk_witnessed")),
    )
    if op.get_bind().dialect.name == "postgresql":
        guard_on_postgresql()
    else:
        guard_on_sqlite()


def guard_on_postgresql() -> None:
    for table in SAME:
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION refuse_change()"
        )
        op.execute(
            f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )


def guard_on_sqlite() -> None:
    for table, same in SAME.items():
        op.execute(
            f"CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table} "
            f"WHEN EXISTS (SELECT 1 FROM {table} WHERE {same}) "
            f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        )
        for act in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{act.lower()} BEFORE {act} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
            )
