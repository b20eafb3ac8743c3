# SPDX-License-Identifier: Apache-2.0
"""Onboarding: contracts, allow-lists and quotas of institutions and sources, rotated secrets, switches, counters."""

import sqlalchemy as sa
from alembic import op

from kernel.db import Instant

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    extend_institution()
    create_source()
    move_secrets()
    create_switch()
    create_counters()


def extend_institution() -> None:
    for column in (
        sa.Column("applied_by", sa.String(length=160), nullable=True),
        sa.Column("reason", sa.String(length=400), nullable=True),
        sa.Column("contract_ref", sa.String(length=120), nullable=True),
        sa.Column("contract_until", sa.Date(), nullable=True),
        sa.Column("networks", sa.String(length=2000), nullable=True),
        sa.Column("per_second", sa.Integer(), nullable=True),
        sa.Column("per_day", sa.Integer(), nullable=True),
    ):
        op.add_column("institution", column)


def create_source() -> None:
    op.create_table(
        "source",
        sa.Column("code", sa.String(length=8), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("created_at", Instant(timezone=True), nullable=False),
        sa.Column("applied_by", sa.String(length=160), nullable=True),
        sa.Column("reason", sa.String(length=400), nullable=True),
        sa.Column("basis", sa.String(length=400), nullable=True),
        sa.Column("contract_ref", sa.String(length=120), nullable=True),
        sa.Column("contract_until", sa.Date(), nullable=True),
        sa.Column("networks", sa.String(length=2000), nullable=True),
        sa.PrimaryKeyConstraint("code", name=op.f("pk_source")),
    )


def move_secrets() -> None:
    """A client may hold two secrets while one takes the other's place; those that there are stay good."""
    op.create_table(
        "client_secret",
        sa.Column("client", sa.String(length=64), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", Instant(timezone=True), nullable=False),
        sa.Column("expires_at", Instant(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["client"], ["client.id"], name=op.f("fk_client_secret_client")),
        sa.PrimaryKeyConstraint("client", "hash", name=op.f("pk_client_secret")),
    )
    op.execute("INSERT INTO client_secret (client, hash, created_at) SELECT id, secret_hash, created_at FROM client")
    op.drop_column("client", "secret_hash")
    op.add_column("client", sa.Column("per_second", sa.Integer(), nullable=True))


def create_switch() -> None:
    op.create_table(
        "switch",
        sa.Column("target", sa.String(length=80), nullable=False),
        sa.Column("reason", sa.String(length=400), nullable=False),
        sa.Column("stopped_by", sa.String(length=160), nullable=False),
        sa.Column("stopped_at", Instant(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("target", name=op.f("pk_switch")),
    )


def create_counters() -> None:
    for table in ("pace", "day_quota"):
        op.create_table(
            table,
            sa.Column("subject", sa.String(length=120), nullable=False),
            sa.Column("window", sa.BigInteger(), autoincrement=False, nullable=False),
            sa.Column("taken", sa.BigInteger(), nullable=False),
            sa.PrimaryKeyConstraint("subject", "window", name=op.f(f"pk_{table}")),
        )
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE pace SET UNLOGGED")  # commits without a flush
