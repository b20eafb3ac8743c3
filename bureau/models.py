# SPDX-License-Identifier: Apache-2.0
"""The bureau's tables: publications, batches, the vault's folios and keys, overlays, rejects, the directory.

`folio` and `data_key` carry the USCC in their primary key and are partitioned by its hash on PostgreSQL; no
transaction of a question writes to them.
"""

from sqlalchemy import (
    BigInteger,
    Column,
    Date,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    String,
    Table,
    Text,
)

from kernel.db import Instant, metadata

BY_USCC = "HASH (uscc)"

publication = Table(
    "publication",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("time", Instant, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("batch", Integer),
    Column("uscc", String(32)),  # who was shredded
)

# One row: the lock under which numbers are given, so that their order is the order of commits.
publication_head = Table(
    "publication_head",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    Column("number", Integer, nullable=False),
)

batch = Table(
    "batch",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("feed", String(80), nullable=False),
    Column("source", String(8), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("received_at", Instant, nullable=False),
    Column("publication", Integer),  # null while the batch is open: its folios are then invisible
    Column("receipt", Text),
    Column("repairs", Integer),  # the batch whose rejected rows it brings again
    Column("newest", String(10)),  # the newest event date in it
)
Index("uq_batch_feed_digest", batch.c.feed, batch.c.digest, unique=True)

open_batch = Table(
    "open_batch",
    metadata,
    Column("batch", Integer, ForeignKey("batch.id"), primary_key=True, autoincrement=False),
    Column("rows_done", Integer, nullable=False),  # all rows up to this one are stored or rejected
    Column("parts_done", Integer, nullable=False),
    Column("progress", Text, nullable=False),  # the receipt so far
)

data_key = Table(
    "data_key",
    metadata,
    Column("uscc", String(32), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("suite", SmallInteger, nullable=False, server_default="1"),  # of this key, and so of all under it
    Column("wrapped_by", Integer, nullable=False, server_default="1"),  # the version of the purpose key `records`
    Column("wrapped", LargeBinary, nullable=False),
    postgresql_partition_by=BY_USCC,
)

folio = Table(
    "folio",
    metadata,
    Column("uscc", String(32), primary_key=True),
    Column("class", SmallInteger, primary_key=True, autoincrement=False),
    Column("batch", Integer, primary_key=True, autoincrement=False),
    Column("part", Integer, primary_key=True, autoincrement=False),
    Column("record_count", Integer, nullable=False),
    Column("since", Integer),  # the first publication in a compacted folio; null: its batch's own
    Column("ended", Integer, server_default="0"),  # as `folios.first_end`; 0: not looked at yet
    Column("key_version", Integer, nullable=False),
    Column("suite", SmallInteger, nullable=False),
    Column("marks", LargeBinary, nullable=False),  # keyed 64-bit fingerprints of its rows: to count repeats unopened
    Column("ciphertext", LargeBinary, nullable=False),
    postgresql_partition_by=BY_USCC,
)

Index(
    "ix_folio_ended",
    folio.c.ended,
    postgresql_where=folio.c.ended.is_not(None),
    sqlite_where=folio.c.ended.is_not(None),
)

# How far `bureau rekey` is in one of its walks over all enterprises, so that the next run goes on there.
rekey_walk = Table(
    "rekey_walk",
    metadata,
    Column("kind", String(16), primary_key=True),
    Column("after", String(32), nullable=False),
    Column("done", Integer, nullable=False),
)

overlay = Table(
    "overlay",
    metadata,
    Column("uscc", String(32), primary_key=True),
    Column("id", String(36), primary_key=True),
    Column("class", SmallInteger, nullable=False),
    Column("since", Integer),  # valid from this publication; null while the batch that brings it is open
    Column("until", Integer),  # and before this one; null: still
    Column("batch", Integer),  # null: laid by the bureau itself
    Column("key_version", Integer, nullable=False),
    Column("suite", SmallInteger, nullable=False),
    Column("ciphertext", LargeBinary, nullable=False),
)

Index("ix_overlay_batch", overlay.c.batch)

rejected_row = Table(
    "rejected_row",
    metadata,
    Column("batch", Integer, ForeignKey("batch.id"), primary_key=True, autoincrement=False),
    Column("row", BigInteger, primary_key=True, autoincrement=False),
    Column("reason", String(40), nullable=False),
    Column("uscc", String(32)),  # only where it is a valid code
    Column("repaired_by", Integer),  # the batch that brought it again, and counts once it is published
    Column("ciphertext", LargeBinary, nullable=False),
)

directory = Table(
    "directory",
    metadata,
    Column("uscc", String(32), primary_key=True),
    Column("batch", Integer, ForeignKey("batch.id"), primary_key=True, autoincrement=False),
    Column("name", Text),
    Column("division", Text),
)

# Who ought to have authorised collection (三个全覆盖), and who said so.
trigger_member = Table(
    "trigger_member",
    metadata,
    Column("trigger", String(24), primary_key=True),
    Column("uscc", String(32), primary_key=True),
    Column("since", Date, nullable=False),
    Column("origin", String(200), nullable=False),
)

# The screening index. A build is begun with the sheets that it is to fill (by USCC, patch 0); a patch computes anew
# those enterprises of which something changed; a version is what is screened: a build and its patches so far.
screening_build = Table(
    "screening_build",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("publication", Integer, nullable=False),
    Column("begun_at", Instant, nullable=False),
    Column("rules", String(64), nullable=False),  # a digest of the indicators that it computes
)

screening_sheet = Table(
    "screening_sheet",
    metadata,
    Column("build", Integer, primary_key=True, autoincrement=False),
    Column("patch", Integer, primary_key=True, autoincrement=False),
    Column("part", Integer, primary_key=True, autoincrement=False),
    Column("first", String(32), nullable=False),  # it holds who stands from here to the next one's first
    Column("enterprises", Integer),  # how many; null until it is filled
    Column("ciphertext", LargeBinary),
)

screening_version = Table(
    "screening_version",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("build", Integer, nullable=False),
    Column("patch", Integer, nullable=False),
    Column("publication", Integer, nullable=False),
    Column("time", Instant, nullable=False),
)

# The reconciliation list: what sources contradict each other in. Values stand only in the records that it names.
discrepancy = Table(
    "discrepancy",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("uscc", String(32), nullable=False),
    Column("fact", String(40), nullable=False),
    Column("about", String(16), nullable=False),  # keyed fingerprint of what it is about: a key may be confidential
    Column("told", String(16), nullable=False),  # keyed fingerprint of what the sources say
    Column("statements", Text, nullable=False),  # JSON: [[source, item, record], …]
    Column("state", String(12), nullable=False),  # open | explained | settled
    Column("since", Integer, nullable=False),  # the publication as of which it was first seen
    Column("first_seen_at", Instant, nullable=False),
    Column("last_seen_at", Instant, nullable=False),
    Column("settled_at", Instant),  # since then the sources agree
    Column("reason", String(400)),  # why it may stand, if it was explained, by whom and when
    Column("explained_by", String(120)),
    Column("explained_at", Instant),
)
Index("uq_discrepancy_uscc_fact_about", discrepancy.c.uscc, discrepancy.c.fact, discrepancy.c.about, unique=True)
Index("ix_discrepancy_state_id", discrepancy.c.state, discrepancy.c.id)
Index("ix_discrepancy_first_seen_at", discrepancy.c.first_seen_at)

discrepancy_source = Table(
    "discrepancy_source",
    metadata,
    Column("source", String(8), primary_key=True),
    Column("discrepancy", String(36), ForeignKey("discrepancy.id"), primary_key=True),
    Column("uscc", String(32), nullable=False),
)
Index("ix_discrepancy_source_discrepancy", discrepancy_source.c.discrepancy)
Index("ix_discrepancy_source_uscc", discrepancy_source.c.uscc)

# One row: how far the list is. All up to `publication` was looked at; up to `upto`, enterprises up to `after` were.
reconciliation = Table(
    "reconciliation",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    Column("publication", Integer, nullable=False),
    Column("upto", Integer, nullable=False),
    Column("after", String(32), nullable=False),
    Column("rules", String(64), nullable=False),  # a digest of the facts that were compared
)
