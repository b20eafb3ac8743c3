# SPDX-License-Identifier: Apache-2.0
"""Consents: a number on each row that tells a screening which ones changed since it last looked.

On PostgreSQL it is the id of the transaction that wrote the row, on SQLite, where one writes at a time, a counter.
Triggers set it, so that a change by any hand is seen. What is on file already stays 0: whoever starts, reads all.
"""

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("consent", sa.Column("change", sa.BigInteger(), server_default="0", nullable=False))
    op.create_index("ix_consent_change", "consent", ["change"])
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "CREATE FUNCTION number_consent_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            "NEW.change := pg_current_xact_id()::text::bigint; RETURN NEW; END $$"
        )
        op.execute(
            "CREATE TRIGGER consent_change BEFORE INSERT OR UPDATE ON consent "
            "FOR EACH ROW EXECUTE FUNCTION number_consent_change()"
        )
    else:
        for act in ("INSERT", "UPDATE"):
            op.execute(
                f"CREATE TRIGGER consent_change_{act.lower()} AFTER {act} ON consent BEGIN "
                "UPDATE consent SET change = (SELECT max(change) + 1 FROM consent) WHERE id = NEW.id; END"
            )
