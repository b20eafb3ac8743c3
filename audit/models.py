# SPDX-License-Identifier: Apache-2.0
"""The trail's tables. `entry.bytes` is the truth; every other column only helps to find it."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    String,
    Table,
    Text,
    text,
)

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
    # What review finds entries by, taken from the bytes: `trail.facet_of` and `trail.mask_of`.
    Column("facet", String(200), nullable=False, server_default=""),
    Column("classes", SmallInteger),
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
# Review: the newest of those that a filter lets through stand together. An enterprise's questions have the index
# above; what else is said of it has its own, so that a question writes to one of the two.
IS_OTHER = "uscc IS NOT NULL AND type NOT IN ('{}')".format("', '".join(SHOWN))
Index("ix_entry_other", entry.c.uscc, entry.c.id, postgresql_where=text(IS_OTHER), sqlite_where=text(IS_OTHER))
Index("ix_entry_actor", entry.c.actor, entry.c.id)
Index("ix_entry_facet", entry.c.facet, entry.c.id)
for _name in ("institution", "operator", "consent", "classes"):
    _said = text(f"{_name} IS NOT NULL")
    Index(f"ix_entry_{_name}", entry.c[_name], entry.c.id, postgresql_where=_said, sqlite_where=_said)

unsealed = Table("unsealed", metadata, Column("entry", String(36), primary_key=True))

# The place of an entry in the tree, given once and for ever.
leaf = Table(
    "leaf",
    metadata,
    Column("index", BigInteger, primary_key=True, autoincrement=False),
    Column("entry", String(36), ForeignKey("entry.id"), nullable=False, unique=True),
)

tile = Table(
    "tile",
    metadata,
    Column("level", SmallInteger, primary_key=True, autoincrement=False),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("hashes", LargeBinary, nullable=False),
)

checkpoint = Table(
    "checkpoint",
    metadata,
    Column("size", BigInteger, primary_key=True, autoincrement=False),
    Column("root", LargeBinary, nullable=False),
    Column("time", Instant, nullable=False),
    Column("note", Text, nullable=False),  # C2SP tlog-checkpoint, signed by the log
)

# A witness's line under a checkpoint, and when it came.
cosignature = Table(
    "cosignature",
    metadata,
    Column("witness", String(400), primary_key=True),  # its public key, as a policy has it
    Column("size", BigInteger, ForeignKey("checkpoint.size"), primary_key=True, autoincrement=False, index=True),
    Column("time", Instant, primary_key=True),
    Column("line", Text, nullable=False),
)

# When a quorum of cosignatures of one round stood under a checkpoint.
witnessed = Table(
    "witnessed",
    metadata,
    Column("size", BigInteger, ForeignKey("checkpoint.size"), primary_key=True, autoincrement=False),
    Column("time", Instant, primary_key=True),
)

# One row: who moves it seals. The origin is given with the first checkpoint and never changes.
log_head = Table(
    "log_head",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    Column("origin", String(200), nullable=False),
    Column("size", BigInteger, nullable=False),
)

# Who was shown on the page of a screening: for the access log of each, apart from the entry that all share.
shown = Table(
    "shown",
    metadata,
    Column("uscc", String(32), primary_key=True),
    Column("entry", String(36), ForeignKey("entry.id"), primary_key=True),
    Column("consent", String(36), nullable=False),
    Column("salt", LargeBinary, nullable=False),  # of its digest in the entry: only this enterprise can find itself
)

# Reward statements, frozen: number 0 is the year's, later ones its supplements. Append-only.
reward_statement = Table(
    "reward_statement",
    metadata,
    Column("year", SmallInteger, primary_key=True, autoincrement=False),
    Column("number", SmallInteger, primary_key=True, autoincrement=False),
    Column("leaf_to", BigInteger, nullable=False),
    Column("document", LargeBinary, nullable=False),  # the canonical JSON that is signed
    Column("signature", Text, nullable=False),  # detached JWS
    Column("frozen_at", Instant, nullable=False),
)

# What two people say a year's count should be changed by; the entry that confirms it is what counts.
reward_correction = Table(
    "reward_correction",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("year", SmallInteger, nullable=False, index=True),
    Column("billable", Integer, nullable=False),
    Column("entries", Text, nullable=False),  # a JSON list of ids
    Column("reason", Text, nullable=False),
    Column("proposed_by", String(160), nullable=False),
    Column("proposed_at", Instant, nullable=False),
    Column("confirmed_by", String(160)),
    Column("confirmed_at", Instant),
)

# Exports over HTTP that are too large for one person: what was asked for, and who confirmed it.
export_request = Table(
    "export_request",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("leaf_from", BigInteger, nullable=False),
    Column("leaf_to", BigInteger, nullable=False),
    Column("format", String(8), nullable=False),
    Column("asked", Text, nullable=False),  # the filters as JSON, in words
    Column("shown", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("requested_by", String(160), nullable=False),
    Column("requested_at", Instant, nullable=False),
    Column("confirmed_by", String(160)),
    Column("confirmed_at", Instant),
)
