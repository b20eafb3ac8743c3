# SPDX-License-Identifier: Apache-2.0
"""The kernel's own table."""

from sqlalchemy import Column, Integer, LargeBinary, String, Table

from kernel.db import Instant, metadata

purpose_key = Table(
    "purpose_key",
    metadata,
    Column("purpose", String(32), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("wrapped", LargeBinary, nullable=False),
    Column("created_at", Instant, nullable=False),
)
