# SPDX-License-Identifier: Apache-2.0
"""Who may call: institutions, clients, people, and their tokens. Secrets are kept only as hashes."""

from sqlalchemy import Column, ForeignKey, Index, LargeBinary, String, Table

from kernel.db import Instant, metadata

institution = Table(
    "institution",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("name", String(200), nullable=False, unique=True),
    Column("kind", String(32), nullable=False),
    Column("status", String(16), nullable=False),
    Column("products", String(400), nullable=False),  # comma-separated; empty allows all
    Column("purposes", String(400), nullable=False),
    Column("created_at", Instant, nullable=False),
)

client = Table(
    "client",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("secret_hash", LargeBinary, nullable=False),
    Column("auth_method", String(32), nullable=False),
    Column("institution", String(36), ForeignKey("institution.id")),
    Column("source", String(8)),
    Column("scopes", String(400), nullable=False),  # space-separated, as in RFC 6749 §3.3
    Column("status", String(16), nullable=False),
    Column("created_at", Instant, nullable=False),
)

person = Table(
    "person",
    metadata,
    Column("username", String(64), primary_key=True),
    Column("password_hash", String(200), nullable=False),
    Column("role", String(32), nullable=False),
    Column("uscc", String(32)),
    Column("status", String(16), nullable=False),
    Column("created_at", Instant, nullable=False),
)

token = Table(
    "token",
    metadata,
    Column("hash", LargeBinary, primary_key=True),
    Column("client", String(64), ForeignKey("client.id")),
    Column("person", String(64), ForeignKey("person.username")),
    Column("scopes", String(400), nullable=False),
    Column("issued_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("revoked_at", Instant),
)
Index("ix_token_expires_at", token.c.expires_at)
