# SPDX-License-Identifier: Apache-2.0
"""What is to be told outside: the outbox, and institutions' webhooks with what each was sent."""

import sqlalchemy as sa
from alembic import op

from kernel.db import Instant

revision = "0048"
down_revision = "0054"
branch_labels = None
depends_on = None

UNPLACED, PENDING = sa.text("place IS NULL"), sa.text("state = 'pending'")


def upgrade() -> None:
    op.create_table(
        "outbox",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("place", sa.BigInteger()),
        sa.Column("topic", sa.String(64), nullable=False),
        sa.Column("audience", sa.String(64), nullable=False),
        sa.Column("time", Instant, nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.UniqueConstraint("place", name="uq_outbox_place"),
    )
    op.create_index("ix_outbox_id", "outbox", ["id"], postgresql_where=UNPLACED, sqlite_where=UNPLACED)
    op.create_index("ix_outbox_audience_place", "outbox", ["audience", "place"])
    op.create_table(
        "webhook",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("institution", sa.String(36), sa.ForeignKey("institution.id"), nullable=False),
        sa.Column("url", sa.String(2000), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("reason", sa.String(400)),
        sa.Column("place", sa.BigInteger(), nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("earlier_secret", sa.LargeBinary()),
        sa.Column("earlier_until", Instant),
        sa.Column("created_at", Instant, nullable=False),
    )
    op.create_index("ix_webhook_institution", "webhook", ["institution"])
    op.create_table(
        "webhook_message",
        sa.Column("webhook", sa.String(36), sa.ForeignKey("webhook.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("message", sa.String(36), sa.ForeignKey("outbox.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due_at", Instant, nullable=False),
        sa.Column("tried_at", Instant),
        sa.Column("told", sa.String(200)),
    )
    op.create_index(
        "ix_webhook_message_due_at", "webhook_message", ["due_at"], postgresql_where=PENDING, sqlite_where=PENDING
    )
    op.create_index("ix_webhook_message_message", "webhook_message", ["message"])
