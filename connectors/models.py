# SPDX-License-Identifier: Apache-2.0
"""Institutions' webhooks, and what each was sent."""

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, LargeBinary, String, Table, text

from kernel.db import Instant, metadata

webhook = Table(
    "webhook",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("institution", String(36), ForeignKey("institution.id"), nullable=False),
    Column("url", String(2000), nullable=False),
    Column("status", String(16), nullable=False),  # active | stopped
    Column("reason", String(400)),  # why it stopped
    Column("place", BigInteger, nullable=False),  # of the outbox: all up to here was put on its list
    Column("secret", LargeBinary, nullable=False),  # under the key `webhooks`, bound to the webhook
    Column("earlier_secret", LargeBinary),
    Column("earlier_until", Instant),  # as long as both sign
    Column("created_at", Instant, nullable=False),
)
Index("ix_webhook_institution", webhook.c.institution)

webhook_message = Table(
    "webhook_message",
    metadata,
    Column("webhook", String(36), ForeignKey("webhook.id", ondelete="CASCADE"), primary_key=True),
    Column("message", String(36), ForeignKey("outbox.id", ondelete="CASCADE"), primary_key=True),
    Column("state", String(16), nullable=False),  # pending | delivered | dead
    Column("attempts", Integer, nullable=False),
    Column("due_at", Instant, nullable=False),  # of pending ones: when it is to be tried; a claim moves it ahead
    Column("tried_at", Instant),
    Column("told", String(200)),  # what came of the last attempt
)
_PENDING = text("state = 'pending'")
Index("ix_webhook_message_due_at", webhook_message.c.due_at, postgresql_where=_PENDING, sqlite_where=_PENDING)
Index("ix_webhook_message_message", webhook_message.c.message)

# One row a feed that is pulled or watched: who is at it, when it is due, what it remembers.
feed_state = Table(
    "feed_state",
    metadata,
    Column("feed", String(80), primary_key=True),
    Column("since", Instant, nullable=False),  # when it was first looked at
    Column("due_at", Instant),  # when it is to be pulled next
    Column("lease_by", String(40)),
    Column("lease_until", Instant),  # a process that dies holds it no longer
    Column("tried_at", Instant),
    Column("pulled_at", Instant),  # the last pull that failed in nothing
    Column("failures", Integer, nullable=False),  # in a row
    Column("problem", String(400)),
    Column("mark", LargeBinary),  # where the next pull begins; under the key `rejects`, bound to the feed
)

pulled_file = Table(
    "pulled_file",
    metadata,
    Column("feed", String(80), primary_key=True),
    Column("name", String(255), primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("modified", BigInteger, nullable=False),
    Column("batch", String(12)),  # null where it was refused
    Column("problem", String(400)),
    Column("time", Instant, nullable=False),
)

feed_alarm = Table(
    "feed_alarm",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("feed", String(80), nullable=False),
    Column("kind", String(16), nullable=False),  # late | shrunk | dead | refused
    Column("detail", String(400), nullable=False),
    Column("since", Instant, nullable=False),
    Column("until", Instant),  # null: it still is so
)
_STANDING = text('"until" IS NULL')
Index(
    "uq_feed_alarm_feed_kind", feed_alarm.c.feed, feed_alarm.c.kind,
    unique=True, postgresql_where=_STANDING, sqlite_where=_STANDING,
)  # fmt: skip
