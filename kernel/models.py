# SPDX-License-Identifier: Apache-2.0
"""The kernel's own tables: wrapped keys, and what is to be told outside."""

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, SmallInteger, String, Table, Text, text

from kernel.db import Instant, metadata

purpose_key = Table(
    "purpose_key",
    metadata,
    Column("purpose", String(32), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("suite", SmallInteger, nullable=False, server_default="1"),  # of the key that is wrapped
    Column("wrapped", LargeBinary, nullable=False),
    Column("created_at", Instant, nullable=False),
)

signing_key = Table(
    "signing_key",
    metadata,
    Column("kid", String(64), primary_key=True),
    Column("use", String(16), nullable=False),
    Column("public", Text, nullable=False),  # a JWK
    Column("wrapped", LargeBinary, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("retired_at", Instant),
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("place", BigInteger, unique=True),  # null until it is found committed: readers go by it
    Column("topic", String(64), nullable=False),
    Column("audience", String(64), nullable=False),  # whom it is for, as consents name grantees
    Column("time", Instant, nullable=False),
    Column("data", LargeBinary, nullable=False),  # canonical JSON
)
_UNPLACED = text("place IS NULL")
Index("ix_outbox_id", outbox.c.id, postgresql_where=_UNPLACED, sqlite_where=_UNPLACED)
Index("ix_outbox_audience_place", outbox.c.audience, outbox.c.place)
