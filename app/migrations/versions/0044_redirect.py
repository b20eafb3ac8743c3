# SPDX-License-Identifier: Apache-2.0
"""Consent by redirect: where clients may be answered, what they pushed, and tokens bound to one consent."""

import sqlalchemy as sa
from alembic import op

from kernel.db import Instant

revision = "0044"
down_revision = "0038"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "client_redirect",
        sa.Column("client", sa.String(length=64), nullable=False),
        sa.Column("uri", sa.String(length=400), nullable=False),
        sa.ForeignKeyConstraint(["client"], ["client.id"], name=op.f("fk_client_redirect_client")),
        sa.PrimaryKeyConstraint("client", "uri", name=op.f("pk_client_redirect")),
    )
    op.create_table(
        "authorization_request",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("reference", sa.LargeBinary(), nullable=False),
        sa.Column("client", sa.String(length=64), nullable=False),
        sa.Column("redirect_uri", sa.String(length=400), nullable=False),
        sa.Column("state", sa.String(length=400), nullable=True),
        sa.Column("scope", sa.String(length=400), nullable=False),
        sa.Column("code_challenge", sa.String(length=43), nullable=False),
        sa.Column("dpop_jkt", sa.String(length=43), nullable=True),
        sa.Column("details", sa.Text(), nullable=False),
        sa.Column("pushed_at", Instant(timezone=True), nullable=False),
        sa.Column("opened_at", Instant(timezone=True), nullable=True),
        sa.Column("browser", sa.LargeBinary(), nullable=True),
        sa.Column("consent", sa.String(length=36), nullable=True),
        sa.Column("uscc", sa.String(length=32), nullable=True),
        sa.Column("answered_at", Instant(timezone=True), nullable=True),
        sa.Column("person", sa.String(length=64), nullable=True),
        sa.Column("granted", sa.Text(), nullable=True),
        sa.Column("code", sa.LargeBinary(), nullable=True),
        sa.Column("code_given_at", Instant(timezone=True), nullable=True),
        sa.Column("token", sa.LargeBinary(), nullable=True),
        sa.ForeignKeyConstraint(["client"], ["client.id"], name=op.f("fk_authorization_request_client")),
        sa.ForeignKeyConstraint(["person"], ["person.username"], name=op.f("fk_authorization_request_person")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_authorization_request")),
        sa.UniqueConstraint("reference", name=op.f("uq_authorization_request_reference")),
        sa.UniqueConstraint("code", name=op.f("uq_authorization_request_code")),
    )
    op.create_index("ix_authorization_request_pushed_at", "authorization_request", ["pushed_at"])
    op.create_index("ix_authorization_request_uscc_client", "authorization_request", ["uscc", "client"])
    op.add_column("token", sa.Column("consent", sa.String(length=36), nullable=True))
