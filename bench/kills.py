# SPDX-License-Identifier: Apache-2.0
"""A hundred kills: the sealer dies at random under load, on both engines; then every entry is accounted for.

    python -m bench.kills --kills 100

Eight threads append all the while, and someone outside reads every checkpoint that is published. Exits with 1 where
an entry was lost, two histories were signed, or `verify` finds anything.
"""

import random
import sys
import time

import click

from bench import standing
from tests.audit import killing

WRITERS = 8
WRITERS_PAUSE_S = 0.1
LONGEST_S = 2.0
LONG_S, EVERY = 10.0, 10  # now and then one lives long enough to catch up and publish, whatever the machine does


@click.command()
@click.option("--kills", default=100, show_default=True)
@click.option("--engine", "engines", type=click.Choice(standing.ENGINES), multiple=True, default=standing.ENGINES)
@click.option("--seed", default=2026, show_default=True)
def main(kills: int, engines: tuple[str, ...], seed: int) -> None:
    """Kill the sealer at random, on SQLite and on a durable PostgreSQL of its own."""
    for engine in engines:
        chance, begun = random.Random(seed), time.monotonic()
        with standing.bureau(engine) as bureau:
            with (
                killing.sealer(bureau.environment) as sealer,
                killing.load(WRITERS, WRITERS_PAUSE_S) as written,
                killing.watched(bureau.log) as seen,
            ):
                lives = [chance.random() * (LONG_S if nth % EVERY == EVERY - 1 else LONGEST_S) for nth in range(kills)]
                died = sum(sealer.killed_after(seconds) for seconds in lives)
            if not seen:
                sys.exit(f"{engine}: no sealer lived long enough to publish: nothing was tried")
            try:
                killing.assert_whole(bureau.log, written, seen)
            except AssertionError as error:
                sys.exit(f"{engine}: after {died} kills: {error}")
        took = time.monotonic() - begun
        click.echo(
            f"{engine}: {died} kills in {took:.0f} s; {len(written):,} entries, each a leaf once; "
            f"{len(seen)} published checkpoints seen, each the beginning of the last; verify finds nothing"
        )


if __name__ == "__main__":
    main()
