# SPDX-License-Identifier: Apache-2.0
"""The trail's tables. `entry.bytes` is the truth; every other column only helps to find it."""

from sqlalchemy import Boolean, Column, Index, LargeBinary, String, Table, text

from kernel.db import Instant, metadata

entry = Table(
    "entry",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("time", Instant, nullable=False),
    Column("type", String(40), nullable=False),
    Column("actor", String(160), nullable=False),
    Column("idempotency_key", String(128)),
    Column("uscc", String(32)),
    Column("institution", String(64)),
    Column("consent", String(36)),
    Column("outcome", String(16)),
    Column("billable", Boolean, nullable=False),
    # In clear beside the bytes, which hold only their salted digests: the institution's own business.
    Column("operator", String(64)),
    Column("reference", String(64)),
    Column("salt", LargeBinary, nullable=False),
    Column("leaf_hash", LargeBinary, nullable=False),
    Column("bytes", LargeBinary),
)
Index("uq_entry_actor_idempotency_key", entry.c.actor, entry.c.idempotency_key, unique=True)
# What an enterprise's access log shows; its pages read as many rows as they show, whatever else is written of it.
SHOWN = ("query.answered", "query.refused", "query.replayed", "staff.viewed")
IS_SHOWN = "type IN ('{}')".format("', '".join(SHOWN))
Index(
    "ix_entry_shown",
    entry.c.uscc,
    entry.c.id,
    postgresql_where=text(IS_SHOWN),
    sqlite_where=text(IS_SHOWN),
)

unsealed = Table("unsealed", metadata, Column("entry", String(36), primary_key=True))
