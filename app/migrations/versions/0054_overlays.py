# SPDX-License-Identifier: Apache-2.0
"""Overlays that a delivery brings: invisible, without `since`, until their batch is published."""

import sqlalchemy as sa
from alembic import op

revision = "0054"
down_revision = "0027"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("overlay") as table:
        table.alter_column("since", existing_type=sa.Integer(), nullable=True)
        table.add_column(sa.Column("batch", sa.Integer(), nullable=True))
    op.create_index("ix_overlay_batch", "overlay", ["batch"])
