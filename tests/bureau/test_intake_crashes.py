# SPDX-License-Identifier: Apache-2.0
"""Two deliveries at once, and one that is killed again and again: each ends as a clean one would."""

import hashlib
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import orjson
import pytest
from sqlalchemy import func, select, text

from audit import verification
from bureau import holdings, intake, rejects, vault
from bureau.intake import Receipt
from bureau.models import batch as batches
from bureau.models import data_key, folio, open_batch, publication
from bureau.records import Row
from kernel import clock, db
from kernel.errors import Conflict
from tests import factories
from tests.bureau.histories import answer, case_filed, entries, expected_record
from tests.bureau.threads import at_once
from tests.conftest import House
from tests.factories import new_uscc, registration

KILLS, ROWS, CHUNK_ROWS = 10, 900, 10
LOADS, LOAD_ROWS = 50, 120
ENTERPRISES = [new_uscc() for _ in range(7)]


def delivered(count: int = ROWS) -> list[Row]:
    """A delivery that is the same in every process: some rows of it are repeats, some cannot be accepted."""
    rows = []
    for number in range(1, count + 1):
        code = "nobody" if number % 13 == 0 else ENTERPRISES[number % 7]
        case = f"演示{number % 840}号"  # the last 60 repeat the first
        rows.append(case_filed(number, code, case)._replace(raw={"C5.01.07": "十二万"}))
    return rows


EXPECTED_REPEATS = len([number for number in range(841, ROWS + 1) if number % 13 and (number - 840) % 13])


def test_two_threads_with_one_delivery_receive_it_once(open_house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "CHUNK_ROWS", 20)
    rows = [registration(n, new_uscc()) for n in range(1, 101)]
    for round_ in range(6):
        digest = f"{round_:064x}"
        outcomes = at_once([lambda d=digest: factories.deliver(rows, digest=d)] * 2)  # type: ignore[misc]
        assert all(isinstance(outcome, Receipt | Conflict) for outcome in outcomes), outcomes
        final = factories.deliver(rows, digest=digest)
        assert (final.rows, final.accepted, final.duplicate) == (
            100,
            100,
            any(_finished(o) for o in outcomes),
        )
    assert _count(open_batch) == 0
    assert (_count(batches), _count(publication), len(entries("batch.received"))) == (6, 7, 6)
    assert {entry["detail"]["repeated"] for entry in entries("batch.received")} == {0, 100}
    with db.reading() as reading:
        assert reading.scalar(select(func.sum(folio.c.record_count))) == 600
    assert len(_records(rows[0].uscc)) == 1


def test_two_deliveries_about_the_same_new_enterprises_both_arrive(open_house: House) -> None:
    for _ in range(4):
        codes = [new_uscc() for _ in range(60)]
        both = ([case_filed(n, code, "演示甲案") for n, code in enumerate(codes, 1)],
                [case_filed(n, code, "演示乙案") for n, code in enumerate(reversed(codes), 1)])  # fmt: skip
        outcomes = at_once([lambda rows=rows: factories.deliver(rows) for rows in both])  # type: ignore[misc]
        assert [isinstance(outcome, Receipt) for outcome in outcomes] == [True, True], outcomes
        assert all(len(_records(code)) == 2 for code in codes)
    assert _count(data_key) == 240


def test_a_delivery_killed_while_it_is_closed_is_all_there_or_not_at_all(open_house: House) -> None:
    closed = 0
    with _nursery(open_house) as nursery:
        for round_ in range(8):
            nursery.start(f"{round_:064x}", CHUNK_ROWS)
            nursery.hear()
            nursery.kill_within(round_ * 0.0006)
            open_, shown = _count(open_batch), len(_records(ENTERPRISES[0]))
            assert (_count(publication) - 1, len(entries("batch.received"))) == (closed + (not open_),) * 2
            assert shown == (0 if open_ and not closed else 1)
            assert factories.deliver(delivered(CHUNK_ROWS), digest=f"{round_:064x}").duplicate is not bool(open_)
            closed += 1
    with db.reading() as reading:
        assert verification.verify(reading).ok


def test_a_delivery_killed_again_and_again_ends_as_a_clean_one(open_house: House) -> None:
    seed = random.randrange(2**32)
    print("seed", seed)  # noqa: T201  # pytest shows it where the test fails
    chance, half_done = random.Random(seed), 0
    with _nursery(open_house) as nursery:
        for _ in range(KILLS):
            nursery.start("a" * 64, ROWS)
            for _ in range(chance.randrange(4)):
                nursery.hear()
            nursery.kill_within(chance.random() * 0.02)
            done = _rows_done()
            half_done += 0 < done < ROWS
            assert done % CHUNK_ROWS == 0
            assert all(_records(code) == [] for code in ENTERPRISES)
            assert (_count(publication), len(entries("batch.received"))) == (1, 0)
            with db.reading() as reading:
                assert verification.verify(reading).ok
    assert half_done > 0
    receipt = factories.deliver(delivered(), digest="a" * 64)

    rejected = ROWS // 13
    assert (receipt.rows, receipt.accepted, receipt.rejected) == (ROWS, ROWS - rejected, rejected)
    assert (receipt.repeated, receipt.duplicate) == (EXPECTED_REPEATS, False)
    with db.reading() as reading:
        held: Any = reading.execute(select(batches)).one()
        assert len(list(rejects.kept(reading, held.id))) == rejected
        assert verification.verify(reading).ok
    for code in ENTERPRISES:
        told = [row for row in delivered() if row.uscc == code]
        last = {row.items["C5.01.01"]: row for row in told}
        expected = [
            expected_record(row, held.id, clock.rfc3339(held.received_at), "S01")
            for row in told
            if last[row.items["C5.01.01"]] is row
        ]
        assert _records(code) == expected
    assert factories.deliver(delivered(), digest="a" * 64).duplicate is True


def test_fifty_loads_killed_at_random_moments_hold_what_a_clean_one_holds(open_house: House) -> None:
    seed = random.randrange(2**32)
    print("seed", seed)  # noqa: T201  # pytest shows it where the test fails
    chance, cut, receipts = random.Random(seed), 0, []
    clean = factories.deliver(delivered(LOAD_ROWS), digest="c" * 64)
    with _nursery(open_house) as nursery:
        for load in range(LOADS):
            nursery.start(f"{load:064x}", LOAD_ROWS)
            for _ in range(chance.randrange(LOAD_ROWS // CHUNK_ROWS)):
                nursery.hear()
            nursery.kill_within(chance.random() * 0.004)
            cut += _count(open_batch)
            receipts.append(factories.deliver(delivered(LOAD_ROWS), digest=f"{load:064x}"))
    assert cut > 0, "none was interrupted"
    assert _count(open_batch) == 0
    assert len(entries("batch.received")) == LOADS + 1
    assert {(r.rows, r.accepted, r.rejected) for r in (clean, *receipts)} == {(LOAD_ROWS, clean.accepted, 9)}
    held = _held_by_batch()
    assert held[clean.batch][0] == {f"{n}.C5.01" for n in range(1, LOAD_ROWS + 1) if n % 13}
    assert [held[receipt.batch] for receipt in receipts] == [held[clean.batch]] * LOADS
    with db.reading() as reading:
        assert verification.verify(reading).ok
        assert list(holdings.faults(reading)) == []


def _held_by_batch() -> dict[str, tuple[set[str], int, str]]:
    """By batch: the record ids without it, how many records, and the digest of all that they say."""
    found: dict[str, list[tuple[str, bytes]]] = {}
    for code in ENTERPRISES:
        with db.reading() as reading:
            regions = [region for held in vault.open_dossier(reading, code, (5,)).regions.values() for region in held]
        for record in (orjson.loads(entry.body) for region in regions for entry in region.entries()):
            batch, _, within = record.pop("id").partition(".")
            del record["received_at"]
            found.setdefault(batch, []).append((within, orjson.dumps([code, within, record])))
    return {
        batch: (
            {within for within, _ in held},
            len(held),
            hashlib.sha256(b"".join(b for _, b in sorted(held))).hexdigest(),
        )
        for batch, held in found.items()
    }


class _Nursery:
    """A process that opened no database and forks receivers at once: a fresh one each would cost a second."""

    def __init__(self, says: IO[str], told: IO[str]) -> None:
        self._says, self._told = says, told

    def start(self, digest: str, rows: int) -> None:
        """Fork a receiver of the first rows."""
        self._told.write(f"{digest} {rows}\n")
        self._told.flush()
        self._child = int(self._says.readline())

    def hear(self) -> None:
        """Wait until the receiver has stored another chunk (or is gone)."""
        self._says.readline()

    def kill_within(self, seconds: float) -> None:
        """End the receiver as a power cut would, and wait until it is gone."""
        time.sleep(seconds)
        os.kill(self._child, signal.SIGKILL)
        while self._says.readline().strip() != "gone":
            pass
        self._told.write("bury\n")
        self._told.flush()
        while _others_at_work():
            time.sleep(0.005)


NURSERY = textwrap.dedent("""
    import os, sys
    from pathlib import Path
    from bureau import catalogue, intake
    from kernel import db, keys
    from tests.bureau import test_intake_crashes as test
    from tests.factories import batch

    intake.CHUNK_ROWS = test.CHUNK_ROWS
    test.ENTERPRISES = sys.argv[3:]
    catalogue.current()
    for line in sys.stdin:
        child = os.fork()
        if not child:
            db.use(db.open_engine(sys.argv[1]))
            with db.reading() as reading:
                keys.use(keys.open_purpose_keys(reading, keys.read_root(Path(sys.argv[2]))))
            tell = lambda rows: os.write(1, b"chunk\\n")
            digest, rows = line.split()
            intake.receive(batch(test.delivered(int(rows)), digest=digest), tell)
            os._exit(0)
        os.write(1, b"%d\\n" % child)
        os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)  # its number is kept until it was killed
        os.write(1, b"gone\\n")
        sys.stdin.readline()
        os.waitpid(child, 0)
""")


@contextmanager
def _nursery(house: House) -> Iterator[_Nursery]:
    root = house.home / "keys" / "root.key"
    command = [sys.executable, "-c", NURSERY, house.url, str(root), *ENTERPRISES]
    folder = Path(__file__).parents[2]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=folder, bufsize=1)
    with process:
        assert process.stdout
        assert process.stdin
        try:
            yield _Nursery(process.stdout, process.stdin)
        finally:
            process.stdin.close()


def _finished(outcome: Receipt | Exception) -> bool:
    return isinstance(outcome, Receipt)


def _records(code: str) -> list[Any]:
    shown = orjson.loads(answer(code))["classes"]
    return [record for part in shown for of in part["datasets"] for record in of["records"]]


def _others_at_work() -> bool:
    """Whether PostgreSQL is still at what a killed process asked of it (SQLite ends with the process)."""
    with db.reading() as reading:
        if reading.dialect.name == "sqlite":
            return False
        here = "datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL"
        return bool(reading.scalar(text(f"SELECT count(*) FROM pg_stat_activity WHERE {here}")))


def _rows_done() -> int:
    with db.reading() as reading:
        return reading.scalar(select(open_batch.c.rows_done)) or 0


def _count(table: Any) -> int:
    with db.reading() as reading:
        return reading.scalar(select(func.count()).select_from(table)) or 0
