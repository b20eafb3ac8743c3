# SPDX-License-Identifier: Apache-2.0
"""The database's shape: migrations by Alembic, on both engines, and a bureau's first day."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, insert, inspect, select

from bureau.models import publication, publication_head
from kernel import clock, db, keys, signing
from kernel.ciphers import AES_256_GCM, Suite
from kernel.keys import Root

MIGRATIONS = Path(__file__).parent / "migrations"


@contextmanager
def opened(url: str) -> Iterator[Engine]:
    """An engine for as long as the block runs."""
    engine = db.open_engine(url)
    try:
        yield engine
    finally:
        engine.dispose()


def alembic_config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    return config


def found(engine: Engine, root: Root, suite: Suite = AES_256_GCM) -> None:
    """Make a bureau in an empty database: its tables and its first day, in one transaction, or nothing.

    Its keys are of that suite.
    """
    keys.use({}, suite)
    with engine.begin() as tx:
        command.upgrade(alembic_config(tx), "head")
        _begin(tx, root, suite)


def migrate(engine: Engine) -> None:
    """Bring a database to the newest shape."""
    with engine.begin() as connection:
        command.upgrade(alembic_config(connection), "head")


def upgrade(engine: Engine, root: Root) -> None:
    """Bring a bureau of an earlier version to this one's tables and keys, in one transaction; harmless if it is."""
    with engine.begin() as tx:
        command.upgrade(alembic_config(tx), "head")
        _begin(tx, root)


def is_empty(engine: Engine) -> bool:
    """Whether the database holds no bureau yet."""
    return not inspect(engine).has_table(publication_head.name)


def begin(engine: Engine, root: Root) -> None:
    """A bureau's first day: its purpose keys, and publication 0, before which nothing is known."""
    with engine.begin() as tx:
        _begin(tx, root)


def _begin(tx: Connection, root: Root, suite: Suite = AES_256_GCM) -> None:
    keys.create_purpose_keys(tx, root)
    keys.use(keys.open_purpose_keys(tx, root), suite)
    signing.create(tx)
    if tx.scalar(select(publication_head.c.id)) is None:
        tx.execute(insert(publication).values(number=0, time=clock.now(), kind="first-day"))
        tx.execute(insert(publication_head).values(id=1, number=0))
