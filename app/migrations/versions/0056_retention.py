# SPDX-License-Identifier: Apache-2.0
"""Folios tell when what they say of persons first ended, so that retention finds them; 0: not looked at yet."""

import sqlalchemy as sa
from alembic import op

revision = "0056"
down_revision = "0055"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("folio", sa.Column("ended", sa.Integer(), server_default="0", nullable=True))
    given = sa.text("ended IS NOT NULL")
    op.create_index("ix_folio_ended", "folio", ["ended"], postgresql_where=given, sqlite_where=given)
