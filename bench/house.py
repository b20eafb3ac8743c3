# SPDX-License-Identifier: Apache-2.0
"""The bureau that is measured: a durable PostgreSQL, the demo city in it, a bank that may ask it all.

The records come in twelve monthly deliveries, the oldest first, each bringing a twelfth of what an enterprise
has of every class. Then the database is copied, and one copy is compacted as the worker would do it: so the
same enterprises stand ready with twelve folios a class and with one.
"""

import dataclasses
import hashlib
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import create_engine, text

from access import clients, institutions, tokens
from app import city, database
from app.city import Firm
from app.demo import GRANTS_AT_ONCE
from app.progress import shown
from audit import trail
from bench.load import PRODUCT, PURPOSE
from bureau import compaction, intake
from bureau.catalogue import current
from bureau.records import Batch, Row
from consent import consents
from consent.acts import Act
from consent.question import CLASSES
from consent.terms import Grant
from kernel import db, keys, signing
from tests import postgres
from tests.postgres import PostgresServer

CLIENTS = 16  # of the bank: one for each connection of the load generator
DELIVERIES = 12
FIRMS_AT_ONCE = 100  # whose rows are held in memory while they are shared out among the deliveries
COMPACTED, AS_DELIVERED = "bureau", "as_delivered"
# Enough for the whole data set of either build, so that neither is measured by the disk.
SETTINGS = {"shared_buffers": "512MB", "max_wal_size": "4GB", "checkpoint_timeout": "30min"}


@dataclass(frozen=True)
class House:
    """A bureau ready to be asked, with its own server and home (both temporary)."""

    server: PostgresServer
    home: Path
    usccs: Sequence[str]
    records: int
    client_ids: Sequence[str]
    loaded_in_s: float

    @property
    def root_key(self) -> Path:
        return self.home / "keys" / "root.key"

    def environment(self, name: str = COMPACTED) -> dict[str, str]:
        """What a server process of one of the databases needs to know; each publishes its own log."""
        home = self.home / name
        home.mkdir(exist_ok=True)
        return {
            "BUREAU_HOME": str(home),
            "BUREAU_DATABASE_URL": self.server.url(name),
            "BUREAU_ROOT_KEY": str(self.root_key),
            "BUREAU_LOG_LEVEL": "warning",
        }

    def bearers(self, name: str = COMPACTED) -> list[str]:
        """A fresh access token of each client; they live 300 s, so every round gets its own."""
        engine = create_engine(self.server.url(name))
        with engine.begin() as tx:
            scopes, life = frozenset({"credit:query"}), tokens.CLIENT_TOKEN_LIFE
            issued = [tokens.issue(tx, scopes, life, client_id=each)[0] for each in self.client_ids]
        engine.dispose()
        return issued


def build(enterprises: int, records_each: int) -> House:
    """Start the server and fill both databases; takes about a minute for 600 enterprises of 500 records."""
    begun = time.monotonic()
    server = postgres.start_server(durable=True, settings=SETTINGS)
    home = Path(tempfile.mkdtemp(prefix="bench-"))
    root_file = home / "keys" / "root.key"
    keys.create_root(root_file)
    administer(server, f"CREATE DATABASE {COMPACTED}")
    engine = db.open_engine(server.url(COMPACTED))
    database.migrate(engine)
    database.begin(engine, keys.read_root(root_file))
    db.use(engine)
    with db.reading() as reading:
        keys.use(keys.open_purpose_keys(reading, keys.read_root(root_file)))
        signing.open_signers(reading)
    firms = list(city.firms(enterprises))
    client_ids = _admit_bank(firms)
    records = 0
    with shown("loading records", enterprises * records_each) as tell:
        for batch in deliveries(firms, records_each):
            records += intake.receive(batch).accepted
            tell(records)
    engine.dispose()
    administer(server, f"CREATE DATABASE {AS_DELIVERED} TEMPLATE {COMPACTED}")
    compaction.sweep()
    for name in (COMPACTED, AS_DELIVERED):
        administer(server, "VACUUM (ANALYZE)", name)
    administer(server, "CHECKPOINT")
    usccs = [firm.uscc for firm in firms]
    return House(server, home, usccs, records, client_ids, time.monotonic() - begun)


def deliveries(firms: Sequence[Firm], records_each: int) -> Iterator[Batch]:
    """The city's records as twelve deliveries, of some firms at a time.

    All are said to come from one source under the platform's mandate: who delivers makes no difference here.
    """
    for start in range(0, len(firms), FIRMS_AT_ONCE):
        some = firms[start : start + FIRMS_AT_ONCE]
        by_place: dict[tuple[str, int], list[Row]] = {}
        for batch in city.batches(some, records_each=records_each):
            for row in batch.rows:
                assert isinstance(row, Row)
                place = row.uscc, current().datasets[row.dataset].class_number
                by_place.setdefault(place, []).append(row)
        shares: list[list[Row]] = [[] for _ in range(DELIVERIES)]
        for rows in by_place.values():
            for nth, row in enumerate(rows):
                share = shares[nth * DELIVERIES // len(rows)]
                share.append(row._replace(number=len(share) + 1))
        for month, share in enumerate(shares):
            digest = hashlib.sha256(f"{start} {month} {records_each} {len(firms)}".encode()).hexdigest()
            yield Batch("bench", "S01", digest, "department", share)


def administer(server: PostgresServer, statement: str, name: str = "postgres") -> None:
    """Run a statement that cannot be part of a transaction."""
    engine = create_engine(server.url(name), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()


def _admit_bank(firms: Sequence[Firm]) -> list[str]:
    """A bank with its clients, and what each enterprise consents to: collection, this bank's questions."""
    with db.transaction() as tx:
        bank = institutions.add(tx, "演示银行", "bank")
        client_ids = [clients.add(tx, bank, ("credit:query",), per_second=1_000_000)[0] for _ in range(CLIENTS)]
    given = [Grant(firm.uscc, "collect", "platform", CLASSES, (PRODUCT,), (PURPOSE,)) for firm in firms]
    given += [dataclasses.replace(collect, scope="query", grantee=bank) for collect in given]
    act = Act("counter", channel="counter")
    for start in range(0, len(given), GRANTS_AT_ONCE):
        with trail.recording() as tx:
            for one in given[start : start + GRANTS_AT_ONCE]:
                consents.grant(tx, one, act)
    return client_ids
