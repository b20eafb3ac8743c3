# SPDX-License-Identifier: Apache-2.0
"""The house: every table of the first version, the vault's partitions, the trail's guards."""

import sqlalchemy as sa
from alembic import op

from kernel.db import Instant

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

PARTITIONED = ("folio", "data_key")
PARTITIONS = 8  # each costs a question a lock, as long as plans are generic
APPEND_ONLY = ("entry", "consent_version", "publication")


def upgrade() -> None:
    create_tables()
    if op.get_bind().dialect.name == "postgresql":
        partition_the_vault()
        guard_on_postgresql()
    else:
        guard_on_sqlite()


def partition_the_vault() -> None:
    for table in PARTITIONED:
        for remainder in range(PARTITIONS):
            op.execute(
                f"CREATE TABLE {table}_p{remainder:02} PARTITION OF {table} "
                f"FOR VALUES WITH (MODULUS {PARTITIONS}, REMAINDER {remainder})"
            )
    # Ciphertext does not compress: trying to would only cost time.
    op.execute("ALTER TABLE folio ALTER COLUMN ciphertext SET STORAGE EXTERNAL")


def guard_on_postgresql() -> None:
    """No UPDATE, DELETE or TRUNCATE of what is written down; each entry notes itself as unsealed."""
    op.execute(
        "CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$"
    )
    for table in APPEND_ONLY:
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION refuse_change()"
        )
        op.execute(
            f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
    op.execute(
        "CREATE FUNCTION note_unsealed() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "INSERT INTO unsealed (entry) VALUES (NEW.id); RETURN NULL; END $$"
    )
    op.execute("CREATE TRIGGER entry_is_unsealed AFTER INSERT ON entry FOR EACH ROW EXECUTE FUNCTION note_unsealed()")


def guard_on_sqlite() -> None:
    """As on PostgreSQL. SQLite has no TRUNCATE, but REPLACE, which deletes without a word to the DELETE triggers."""
    for table, same in (
        ("entry", "id = NEW.id"),
        ("consent_version", "consent = NEW.consent AND version = NEW.version"),
        ("publication", "number = NEW.number"),
    ):
        op.execute(
            f"CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table} "
            f"WHEN EXISTS (SELECT 1 FROM {table} WHERE {same}) "
            f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        )
    for table in APPEND_ONLY:
        for act in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{act.lower()} BEFORE {act} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
            )
    op.execute(
        "CREATE TRIGGER entry_is_unsealed AFTER INSERT ON entry BEGIN INSERT INTO unsealed (entry) VALUES (NEW.id); END"
    )


def create_tables() -> None:
    op.create_table(
        "batch",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("feed", sa.String(length=80), nullable=False),
        sa.Column("source", sa.String(length=8), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("received_at", Instant(timezone=True), nullable=False),
        sa.Column("publication", sa.Integer(), nullable=True),
        sa.Column("receipt", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_batch")),
    )
    op.create_index("uq_batch_feed_digest", "batch", ["feed", "digest"], unique=True)
    op.create_table(
        "consent",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("uscc", sa.String(length=32), nullable=False),
        sa.Column("scope", sa.String(length=8), nullable=False),
        sa.Column("grantee", sa.String(length=64), nullable=False),
        sa.Column("classes", sa.String(length=32), nullable=False),
        sa.Column("products", sa.String(length=200), nullable=False),
        sa.Column("purposes", sa.String(length=400), nullable=False),
        sa.Column("not_before", Instant(timezone=True), nullable=False),
        sa.Column("expires_at", Instant(timezone=True), nullable=True),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.String(length=400), nullable=True),
        sa.Column("deciding", sa.Boolean(), nullable=False),
        sa.Column("granted_at", Instant(timezone=True), nullable=False),
        sa.Column("changed_at", Instant(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_consent")),
    )
    op.create_index("ix_consent_grantee_id", "consent", ["grantee", "id"], unique=False)
    op.create_index("ix_consent_uscc_id", "consent", ["uscc", "id"], unique=False)
    op.create_index(
        "uq_consent_deciding",
        "consent",
        ["uscc", "scope", "grantee"],
        unique=True,
        postgresql_where=sa.text("deciding"),
        sqlite_where=sa.text("deciding"),
    )
    op.create_table(
        "data_key",
        sa.Column("uscc", sa.String(length=32), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("uscc", "version", name=op.f("pk_data_key")),
        postgresql_partition_by="HASH (uscc)",
    )
    op.create_table(
        "entry",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("time", Instant(timezone=True), nullable=False),
        sa.Column("type", sa.String(length=40), nullable=False),
        sa.Column("actor", sa.String(length=160), nullable=False),
        sa.Column("idempotency_key", sa.String(length=128), nullable=True),
        sa.Column("uscc", sa.String(length=32), nullable=True),
        sa.Column("institution", sa.String(length=64), nullable=True),
        sa.Column("consent", sa.String(length=36), nullable=True),
        sa.Column("outcome", sa.String(length=16), nullable=True),
        sa.Column("billable", sa.Boolean(), nullable=False),
        sa.Column("operator", sa.String(length=64), nullable=True),
        sa.Column("reference", sa.String(length=64), nullable=True),
        sa.Column("salt", sa.LargeBinary(), nullable=False),
        sa.Column("leaf_hash", sa.LargeBinary(), nullable=False),
        sa.Column("bytes", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_entry")),
    )
    op.create_index("ix_entry_uscc_id", "entry", ["uscc", "id"], unique=False)
    op.create_index("uq_entry_actor_idempotency_key", "entry", ["actor", "idempotency_key"], unique=True)
    op.create_table(
        "folio",
        sa.Column("uscc", sa.String(length=32), nullable=False),
        sa.Column("class", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("batch", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("part", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("record_count", sa.Integer(), nullable=False),
        sa.Column("since", sa.Integer(), nullable=True),
        sa.Column("key_version", sa.Integer(), nullable=False),
        sa.Column("suite", sa.SmallInteger(), nullable=False),
        sa.Column("marks", sa.LargeBinary(), nullable=False),
        sa.Column("ciphertext", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("uscc", "class", "batch", "part", name=op.f("pk_folio")),
        postgresql_partition_by="HASH (uscc)",
    )
    op.create_table(
        "institution",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("products", sa.String(length=400), nullable=False),
        sa.Column("purposes", sa.String(length=400), nullable=False),
        sa.Column("created_at", Instant(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_institution")),
        sa.UniqueConstraint("name", name=op.f("uq_institution_name")),
    )
    op.create_table(
        "overlay",
        sa.Column("uscc", sa.String(length=32), nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("class", sa.SmallInteger(), nullable=False),
        sa.Column("since", sa.Integer(), nullable=False),
        sa.Column("until", sa.Integer(), nullable=True),
        sa.Column("key_version", sa.Integer(), nullable=False),
        sa.Column("suite", sa.SmallInteger(), nullable=False),
        sa.Column("ciphertext", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("uscc", "id", name=op.f("pk_overlay")),
    )
    op.create_table(
        "person",
        sa.Column("username", sa.String(length=64), nullable=False),
        sa.Column("password_hash", sa.String(length=200), nullable=False),
        sa.Column("role", sa.String(length=32), nullable=False),
        sa.Column("uscc", sa.String(length=32), nullable=True),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("created_at", Instant(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("username", name=op.f("pk_person")),
    )
    op.create_table(
        "publication",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("time", Instant(timezone=True), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("batch", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_publication")),
    )
    op.create_table(
        "publication_head",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_publication_head")),
    )
    op.create_table(
        "purpose_key",
        sa.Column("purpose", sa.String(length=32), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", Instant(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("purpose", "version", name=op.f("pk_purpose_key")),
    )
    op.create_table(
        "unsealed",
        sa.Column("entry", sa.String(length=36), nullable=False),
        sa.PrimaryKeyConstraint("entry", name=op.f("pk_unsealed")),
    )
    op.create_table(
        "client",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("secret_hash", sa.LargeBinary(), nullable=False),
        sa.Column("auth_method", sa.String(length=32), nullable=False),
        sa.Column("institution", sa.String(length=36), nullable=True),
        sa.Column("source", sa.String(length=8), nullable=True),
        sa.Column("scopes", sa.String(length=400), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("created_at", Instant(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["institution"], ["institution.id"], name=op.f("fk_client_institution")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_client")),
    )
    op.create_table(
        "consent_version",
        sa.Column("consent", sa.String(length=36), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["consent"], ["consent.id"], name=op.f("fk_consent_version_consent")),
        sa.PrimaryKeyConstraint("consent", "version", name=op.f("pk_consent_version")),
    )
    op.create_table(
        "directory",
        sa.Column("uscc", sa.String(length=32), nullable=False),
        sa.Column("batch", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("division", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["batch"], ["batch.id"], name=op.f("fk_directory_batch")),
        sa.PrimaryKeyConstraint("uscc", "batch", name=op.f("pk_directory")),
    )
    op.create_table(
        "open_batch",
        sa.Column("batch", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("rows_done", sa.Integer(), nullable=False),
        sa.Column("parts_done", sa.Integer(), nullable=False),
        sa.Column("progress", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["batch"], ["batch.id"], name=op.f("fk_open_batch_batch")),
        sa.PrimaryKeyConstraint("batch", name=op.f("pk_open_batch")),
    )
    op.create_table(
        "rejected_row",
        sa.Column("batch", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("row", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("reason", sa.String(length=40), nullable=False),
        sa.Column("uscc", sa.String(length=32), nullable=True),
        sa.Column("ciphertext", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["batch"], ["batch.id"], name=op.f("fk_rejected_row_batch")),
        sa.PrimaryKeyConstraint("batch", "row", name=op.f("pk_rejected_row")),
    )
    op.create_table(
        "token",
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("client", sa.String(length=64), nullable=True),
        sa.Column("person", sa.String(length=64), nullable=True),
        sa.Column("scopes", sa.String(length=400), nullable=False),
        sa.Column("issued_at", Instant(timezone=True), nullable=False),
        sa.Column("expires_at", Instant(timezone=True), nullable=False),
        sa.Column("revoked_at", Instant(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["client"], ["client.id"], name=op.f("fk_token_client")),
        sa.ForeignKeyConstraint(["person"], ["person.username"], name=op.f("fk_token_person")),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_token")),
    )
    op.create_index("ix_token_expires_at", "token", ["expires_at"], unique=False)
