# SPDX-License-Identifier: Apache-2.0
"""A hundred kills: the sealer dies at random under load, on both engines; then every entry is accounted for.

    python -m bench.kills --kills 100

Eight threads append all the while, and someone outside reads every checkpoint that is published. Exits with 1 where
an entry was lost, two histories were signed, or `verify` finds anything.
"""

import random
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from app import database
from bench.house import SETTINGS
from kernel import db, keys, signing
from tests import postgres
from tests.audit import killing

WRITERS = 8
LONGEST_S = 2.0


@click.command()
@click.option("--kills", default=100, show_default=True)
@click.option("--seed", default=2026, show_default=True)
def main(kills: int, seed: int) -> None:
    """Kill the sealer at random, on SQLite and on a durable PostgreSQL of its own."""
    for engine in ("sqlite", "postgresql"):
        chance, begun = random.Random(seed), time.monotonic()
        with bureau(engine) as (environment, folder):
            with (
                killing.sealer(environment) as sealer,
                killing.load(WRITERS, 0.02) as written,
                killing.watched(folder) as seen,
            ):
                died = sum(sealer.killed_after(chance.random() * LONGEST_S) for _ in range(kills))
            if not seen:
                sys.exit(f"{engine}: no sealer lived long enough to publish: nothing was tried")
            try:
                killing.assert_whole(folder, written, seen)
            except AssertionError as error:
                sys.exit(f"{engine}: after {died} kills: {error}")
        took = time.monotonic() - begun
        click.echo(
            f"{engine}: {died} kills in {took:.0f} s; {len(written):,} entries, each a leaf once; "
            f"{len(seen)} published checkpoints seen, each the beginning of the last; verify finds nothing"
        )


@contextmanager
def bureau(engine: str) -> Iterator[tuple[dict[str, str], Path]]:
    """A bureau of its own, this process's meanwhile: its environment, and the folder of its log."""
    home = Path(tempfile.mkdtemp(prefix="kills-"))
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
        yield {"BUREAU_HOME": str(home), "BUREAU_DATABASE_URL": url, "BUREAU_ROOT_KEY": str(root)}, home / "log"
        db.use(None)
        opened.dispose()
    finally:
        if server:
            server.stop()
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
