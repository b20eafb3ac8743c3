# SPDX-License-Identifier: Apache-2.0
"""A bureau of its own for a measurement, on either engine, this process's meanwhile; gone afterwards."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from app import database
from bench.house import SETTINGS
from kernel import db, keys, signing
from tests import postgres

ENGINES = ("sqlite", "postgresql")


@dataclass(frozen=True, slots=True)
class Bureau:
    """Where it stands; `environment` is what its commands need."""

    home: Path
    environment: dict[str, str]

    @property
    def log(self) -> Path:
        return self.home / "log"


@contextmanager
def bureau(engine: str) -> Iterator[Bureau]:
    """An empty one, on a durable PostgreSQL server of its own or on SQLite."""
    home = Path(tempfile.mkdtemp(prefix="bench-"))
    server = postgres.start_server(durable=True, settings=SETTINGS) if engine == "postgresql" else None
    try:
        url = server.url() if server else f"sqlite:///{home / 'bureau.db'}"
        root = home / "root.key"
        keys.create_root(root)
        opened = db.open_engine(url)
        database.found(opened, keys.read_root(root))
        db.use(opened)
        with db.reading() as reading:
            signing.open_signers(reading)
        yield Bureau(home, {"BUREAU_HOME": str(home), "BUREAU_DATABASE_URL": url, "BUREAU_ROOT_KEY": str(root)})
        db.use(None)
        opened.dispose()
    finally:
        if server:
            server.stop()
        shutil.rmtree(home, ignore_errors=True)
