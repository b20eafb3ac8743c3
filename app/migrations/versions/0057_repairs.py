# SPDX-License-Identifier: Apache-2.0
"""Rejected rows tell by which batch they were repaired, batches which one they repair and how new their facts are."""

import sqlalchemy as sa
from alembic import op

revision = "0057"
down_revision = "0056"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("rejected_row", sa.Column("repaired_by", sa.Integer(), nullable=True))
    op.add_column("batch", sa.Column("repairs", sa.Integer(), nullable=True))
    op.add_column("batch", sa.Column("newest", sa.String(10), nullable=True))
