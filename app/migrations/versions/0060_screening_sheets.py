# SPDX-License-Identifier: Apache-2.0
"""The screening index in sheets, which are filled, patched and shredded one by one; publications name who was shredded.

What was indexed before is derived data: `bureau index` makes it anew.
"""

import sqlalchemy as sa
from alembic import op

from kernel.db import Instant

revision = "0060"
down_revision = "0048"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_table("screening_column")
    op.drop_table("screening_snapshot")
    op.add_column("publication", sa.Column("uscc", sa.String(length=32), nullable=True))
    op.create_table(
        "screening_build",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("publication", sa.Integer(), nullable=False),
        sa.Column("begun_at", Instant(timezone=True), nullable=False),
        sa.Column("rules", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_screening_build")),
    )
    op.create_table(
        "screening_sheet",
        sa.Column("build", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("patch", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("part", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("first", sa.String(length=32), nullable=False),
        sa.Column("enterprises", sa.Integer(), nullable=True),
        sa.Column("ciphertext", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("build", "patch", "part", name=op.f("pk_screening_sheet")),
    )
    op.create_table(
        "screening_version",
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("build", sa.Integer(), nullable=False),
        sa.Column("patch", sa.Integer(), nullable=False),
        sa.Column("publication", sa.Integer(), nullable=False),
        sa.Column("time", Instant(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_screening_version")),
    )
