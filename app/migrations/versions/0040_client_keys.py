# SPDX-License-Identifier: Apache-2.0
"""Clients that sign: their keys, where they publish them, what was used once, and tokens bound to a key."""

import sqlalchemy as sa
from alembic import op

from kernel.db import Instant

revision = "0040"
down_revision = "0030"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("client", sa.Column("algorithms", sa.String(length=80), nullable=True))
    op.add_column("client", sa.Column("dpop_bound", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column("token", sa.Column("jkt", sa.String(length=43), nullable=True))
    create_client_keys()
    create_spent()


def create_client_keys() -> None:
    op.create_table(
        "client_key",
        sa.Column("client", sa.String(length=64), nullable=False),
        sa.Column("thumbprint", sa.String(length=64), nullable=False),
        sa.Column("kid", sa.String(length=200), nullable=True),
        sa.Column("jwk", sa.Text(), nullable=False),
        sa.Column("created_at", Instant(timezone=True), nullable=False),
        sa.Column("expires_at", Instant(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["client"], ["client.id"], name=op.f("fk_client_key_client")),
        sa.PrimaryKeyConstraint("client", "thumbprint", name=op.f("pk_client_key")),
    )
    op.create_table(
        "client_jwks",
        sa.Column("client", sa.String(length=64), nullable=False),
        sa.Column("uri", sa.String(length=2000), nullable=False),
        sa.Column("due_at", Instant(timezone=True), nullable=False),
        sa.Column("wished_at", Instant(timezone=True), nullable=False),
        sa.Column("fetched_at", Instant(timezone=True), nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("fault", sa.String(length=200), nullable=True),
        sa.ForeignKeyConstraint(["client"], ["client.id"], name=op.f("fk_client_jwks_client")),
        sa.PrimaryKeyConstraint("client", name=op.f("pk_client_jwks")),
    )


def create_spent() -> None:
    for table in ("spent", "spent_proof"):
        op.create_table(
            table,
            sa.Column("key", sa.LargeBinary(), nullable=False),
            sa.Column("until", Instant(timezone=True), nullable=False),
            sa.PrimaryKeyConstraint("key", name=op.f(f"pk_{table}")),
        )
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE spent_proof SET UNLOGGED")  # commits without a flush
