# SPDX-License-Identifier: Apache-2.0
"""Review: what entries are found by, taken from their bytes, and an index for each filter."""

from typing import Any

import orjson
import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0006"
branch_labels = None
depends_on = None

FACETS = ("type", "outcome", "rule", "purpose", "product")
IS_OTHER = sa.text(
    "uscc IS NOT NULL AND type NOT IN ('query.answered', 'query.refused', 'query.replayed', 'staff.viewed')"
)
ROWS_AT_ONCE = 5_000


def upgrade() -> None:
    op.add_column("entry", sa.Column("facet", sa.String(length=200), server_default="", nullable=False))
    op.add_column("entry", sa.Column("classes", sa.SmallInteger(), nullable=True))
    on_postgresql = op.get_bind().dialect.name == "postgresql"
    op.execute(
        "ALTER TABLE entry DISABLE TRIGGER entry_append_only" if on_postgresql else "DROP TRIGGER entry_no_update"
    )
    fill()
    if on_postgresql:
        op.execute("ALTER TABLE entry ENABLE TRIGGER entry_append_only")
    else:
        op.execute(
            "CREATE TRIGGER entry_no_update BEFORE UPDATE ON entry "
            "BEGIN SELECT RAISE(ABORT, 'entry is append-only'); END"
        )
    op.create_index("ix_entry_other", "entry", ["uscc", "id"], postgresql_where=IS_OTHER, sqlite_where=IS_OTHER)
    for name in ("actor", "facet"):
        op.create_index(f"ix_entry_{name}", "entry", [name, "id"])
    for name in ("institution", "operator", "consent", "classes"):
        said = sa.text(f"{name} IS NOT NULL")
        op.create_index(f"ix_entry_{name}", "entry", [name, "id"], postgresql_where=said, sqlite_where=said)


def fill() -> None:
    """Nothing of what an entry says changes: only columns beside its bytes are filled."""
    tx, after = op.get_bind(), ""
    page = sa.text("SELECT id, type, outcome, bytes FROM entry WHERE id > :after ORDER BY id LIMIT :most")
    write = sa.text("UPDATE entry SET facet = :facet, classes = :classes WHERE id = :id")
    while rows := tx.execute(page, {"after": after, "most": ROWS_AT_ONCE}).all():
        tx.execute(write, [filled(row) for row in rows])
        after = rows[-1].id


def filled(row: Any) -> dict[str, object]:
    known = {"type": row.type, "outcome": row.outcome} if row.bytes is None else orjson.loads(row.bytes)
    classes = known.get("classes")
    mask = None if classes is None else sum(1 << number - 1 for number in set(classes))
    return {"id": row.id, "facet": " ".join(known.get(name) or "-" for name in FACETS), "classes": mask}
