# SPDX-License-Identifier: Apache-2.0
"""People: second factor, invitations, sessions that idle out, tries to sign in; the access log's own index."""

import sqlalchemy as sa
from alembic import op

from kernel.db import Instant

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

ACTIVE = sa.text("status = 'active'")
OF_PERSON = sa.text("person IS NOT NULL")
IS_SHOWN = sa.text("type IN ('query.answered', 'query.refused', 'query.replayed', 'staff.viewed')")


def upgrade() -> None:
    for column in (
        sa.Column("name", sa.String(length=200), nullable=True),
        sa.Column("staff_no", sa.String(length=64), nullable=True),
        sa.Column("totp_secret", sa.LargeBinary(), nullable=True),
        sa.Column("totp_confirmed_at", Instant(timezone=True), nullable=True),
        sa.Column("totp_step", sa.BigInteger(), nullable=True),
    ):
        op.add_column("person", column)
    op.create_index(
        "uq_person_staff_no", "person", ["staff_no"], unique=True, postgresql_where=ACTIVE, sqlite_where=ACTIVE
    )
    op.add_column("token", sa.Column("session", sa.String(length=36), nullable=True))
    op.add_column("token", sa.Column("last_used_at", Instant(timezone=True), nullable=True))
    op.create_index(
        "uq_token_person_session",
        "token",
        ["person", "session"],
        unique=True,
        postgresql_where=OF_PERSON,
        sqlite_where=OF_PERSON,
    )
    create_tables()
    # Not a second index on the path of a question: this one takes the other's place.
    op.create_index("ix_entry_shown", "entry", ["uscc", "id"], postgresql_where=IS_SHOWN, sqlite_where=IS_SHOWN)
    op.drop_index("ix_entry_uscc_id", "entry")


def create_tables() -> None:
    op.create_table(
        "recovery_code",
        sa.Column("person", sa.String(length=64), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["person"], ["person.username"], name=op.f("fk_recovery_code_person")),
        sa.PrimaryKeyConstraint("person", "hash", name=op.f("pk_recovery_code")),
    )
    op.create_table(
        "invitation",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("role", sa.String(length=32), nullable=False),
        sa.Column("uscc", sa.String(length=32), nullable=True),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("staff_no", sa.String(length=64), nullable=True),
        sa.Column("code_hash", sa.LargeBinary(), nullable=False),
        sa.Column("second_hash", sa.LargeBinary(), nullable=True),
        sa.Column("made_by", sa.String(length=64), nullable=False),
        sa.Column("made_at", Instant(timezone=True), nullable=False),
        sa.Column("confirmed_by", sa.String(length=64), nullable=True),
        sa.Column("expires_at", Instant(timezone=True), nullable=False),
        sa.Column("accepted_at", Instant(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_invitation")),
        sa.UniqueConstraint("code_hash", name=op.f("uq_invitation_code_hash")),
    )
    op.create_table(
        "sign_in_tries",
        sa.Column("subject", sa.LargeBinary(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("since", Instant(timezone=True), nullable=False),
        sa.Column("until", Instant(timezone=True), nullable=True),
        sa.Column("succeeded_at", Instant(timezone=True), nullable=True),
        sa.Column("changed_at", Instant(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("subject", name=op.f("pk_sign_in_tries")),
    )
    op.create_index("ix_sign_in_tries_changed_at", "sign_in_tries", ["changed_at"])
