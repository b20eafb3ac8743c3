# SPDX-License-Identifier: Apache-2.0
"""The kernel's own tables: wrapped keys."""

from sqlalchemy import Column, Integer, LargeBinary, String, Table, Text

from kernel.db import Instant, metadata

purpose_key = Table(
    "purpose_key",
    metadata,
    Column("purpose", String(32), primary_key=True),
    Column("version", Integer, primary_key=True),
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
