# SPDX-License-Identifier: Apache-2.0
"""Fifty pulls by each transport, killed at random moments and gone on with, on both engines; each ends as a clean one.

    python -m bench.pull_kills --loads 50

Exits with 1 where a record, a count or a digest differs from the pull that nobody disturbed.
"""

import random
import sys
import tempfile
import time
from pathlib import Path

import click

from bench import standing
from connectors import spool
from kernel import db, keys
from tests.connectors import pull_kills, servers
from tests.nursery import nursery


@click.command()
@click.option("--loads", default=50, show_default=True)
@click.option("--engine", "engines", type=click.Choice(standing.ENGINES), multiple=True, default=standing.ENGINES)
@click.option("--seed", default=2026, show_default=True)
def main(loads: int, engines: tuple[str, ...], seed: int) -> None:
    """Kill pulls over SFTP, HTTPS and from a database."""
    for engine in engines:
        for kind in ("sftp", "https", "database"):
            begun = time.monotonic()
            with tempfile.TemporaryDirectory() as folder:
                cut = _killed(engine, kind, Path(folder), loads, random.Random(seed))
            click.echo(
                f"{engine}, {kind}: {loads} loads, {cut} cut off, in {time.monotonic() - begun:.0f} s; all as clean"
            )


def _killed(engine: str, kind: str, folder: Path, loads: int, chance: random.Random) -> int:
    for name in ("drop", "origin", "feed"):
        (folder / name).mkdir()
    spool.use(folder / "spool")
    with (
        standing.bureau(engine) as bureau,
        servers.sshd(folder / "drop") as drop,
        servers.origin(folder / "origin") as at,
    ):
        root = bureau.home / "root.key"
        with db.reading() as reading:
            keys.use(keys.open_purpose_keys(reading, keys.read_root(root)))
        ways = {"sftp": lambda: pull_kills.by_sftp(drop), "https": lambda: pull_kills.by_https(at)}
        way = ways.get(kind, lambda: pull_kills.by_database(folder))()
        url = bureau.environment["BUREAU_DATABASE_URL"]
        with nursery(url, root, "tests.connectors.pull_kills", str(folder / "spool")) as workers:
            try:
                return pull_kills.kill(way, folder / "feed", workers, loads, chance)
            except AssertionError as error:
                sys.exit(f"{engine}, {kind}: {error}")


if __name__ == "__main__":
    main()
