# SPDX-License-Identifier: Apache-2.0
"""Keys of several cipher suites, data keys wrapped by several versions of their purpose key, and rekeying's walks."""

import sqlalchemy as sa
from alembic import op

revision = "0055"
down_revision = "0044"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("purpose_key", sa.Column("suite", sa.SmallInteger(), server_default="1", nullable=False))
    op.add_column("data_key", sa.Column("suite", sa.SmallInteger(), server_default="1", nullable=False))
    op.add_column("data_key", sa.Column("wrapped_by", sa.Integer(), server_default="1", nullable=False))
    op.create_table(
        "rekey_walk",
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("after", sa.String(32), nullable=False),
        sa.Column("done", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("kind", name=op.f("pk_rekey_walk")),
    )
