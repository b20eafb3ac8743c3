# SPDX-License-Identifier: Apache-2.0
"""Where a question's time goes: `python -m bench.profile` prints the CPU time of each step, in one process.

Each step is called in a tight loop and the best of many short rounds is kept, so that the rest of the machine
falls out. What is left over between the whole and its steps is what a tight loop hides: cold caches, the pools,
the collector. PostgreSQL's own work is not in it (`pgbench` in the table of `make bench` is).
"""

import hashlib
import itertools
import random
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click
from rich.console import Console
from rich.table import Table
from werkzeug.test import EnvironBuilder

from access import institutions, tokens
from app.application import create_app
from audit import trail
from audit.events import Event
from bench import house as houses
from bench.house import COMPACTED, House
from bureau import answers, dossier_rows, folios, vault
from bureau.answers import Asked
from consent import consents
from consent.question import CLASSES, Question
from kernel import db

CALLS, ROUNDS = 20, 60
_keys = itertools.count()


@click.command()
@click.option("--enterprises", default=100, show_default=True)
@click.option("--records", default=500, show_default=True, help="About so many records an enterprise.")
def main(enterprises: int, records: int) -> None:
    """Print where the time of one question goes."""
    house = houses.build(enterprises, records)
    try:
        with _opened(house):
            steps = list(_steps(house))
    finally:
        house.server.stop()
        shutil.rmtree(house.home)
    table = Table("step", "CPU µs", title="one question, in process")
    for name, micros in steps:
        table.add_row(name, f"{micros:,.0f}")
    Console().print(table)


def _steps(house: House) -> Iterator[tuple[str, float]]:
    application, bearer = create_app("https://bureau.example"), house.bearers()[0]
    institution = _institution()
    asked = Asked("01", house.usccs[0], "pre_loan", "records", "01")

    def request() -> dict[str, object]:
        body = {"uscc": random.choice(house.usccs), "purpose": "pre_loan", "product": "records", "operator": "OP"}
        headers = {"Authorization": f"Bearer {bearer}", "Idempotency-Key": f"profile-{next(_keys)}"}
        return EnvironBuilder("/v1/credit-queries", method="POST", json=body, headers=headers).get_environ()

    waiting = iter([request() for _ in range(CALLS * (ROUNDS + 1))])
    yield "the whole request, as a WSGI call", _best(lambda: list(application(next(waiting), lambda *_: None)))
    with db.reading() as tx:
        question = _question(house.usccs[0], institution)
        yield "token, client and institution", _best(lambda: tokens.find(tx, bearer))
        yield "Idempotency-Key", _best(lambda: trail.find_keyed(tx, "client:x", "y", "z"))
        yield "the consent that decides", _best(lambda: consents.require(tx, question))
        latest = house.usccs[0], CLASSES, dossier_rows.LATEST
        yield "dossier: SQL alone", _best(lambda: dossier_rows.read(tx, *latest))
        yield "dossier: SQL, decrypt, decompress", _best(lambda: vault.open_dossier(tx, house.usccs[0], CLASSES))
        dossier = vault.open_dossier(tx, house.usccs[0], CLASSES)
    yield "splice the answer", _best(lambda: answers.records(asked, dossier))
    body = answers.records(asked, dossier).body
    yield f"SHA-256 of its {len(body) / 1024:.0f} KiB", _best(lambda: hashlib.sha256(body).digest())
    packed = folios.pack(
        entry for regions in dossier.regions.values() for region in regions for entry in region.entries()
    )
    yield "(of the dossier: one zstd frame of it all)", _best(lambda: folios.unpack(packed, 1))
    said = {"type": Event.QUERY_ANSWERED, "actor": "bench", "uscc": house.usccs[0], "operator": "OP"}
    with db.transaction() as tx:
        yield "the entry", _best(lambda: trail.append(tx, trail.Entry(**said)))
        tx.rollback()


def _best(call: Callable[[], object]) -> float:
    """CPU microseconds of a call: the best of ROUNDS rounds of CALLS."""
    best = float("inf")
    for _ in range(ROUNDS):
        begun = time.thread_time()
        for _ in range(CALLS):
            call()
        best = min(best, time.thread_time() - begun)
    return best / CALLS * 1e6


def _question(uscc: str, institution: str) -> Question:
    with db.reading() as reading:
        asking = institutions.get(reading, institution)
    return Question(uscc, "pre_loan", "records", None, "OP", None, asking, "bench", None, None)


def _institution() -> str:
    with db.reading() as reading:
        listed = institutions.list_all(reading)
    return str(listed[0]["institution"])


@contextmanager
def _opened(house: House) -> Iterator[None]:
    engine = db.open_engine(house.server.url(COMPACTED))
    db.use(engine)
    yield
    engine.dispose()


if __name__ == "__main__":
    sys.exit(main())
