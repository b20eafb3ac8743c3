# SPDX-License-Identifier: Apache-2.0
"""Full coverage: the sets of enterprises that ought to have authorised collection."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "trigger_member",
        sa.Column("trigger", sa.String(length=24), nullable=False),
        sa.Column("uscc", sa.String(length=32), nullable=False),
        sa.Column("since", sa.Date(), nullable=False),
        sa.Column("origin", sa.String(length=200), nullable=False),
        sa.PrimaryKeyConstraint("trigger", "uscc", name=op.f("pk_trigger_member")),
    )
