# SPDX-License-Identifier: Apache-2.0
"""Two deliveries at once, and one that is killed again and again: each ends as a clean one would."""

import random
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import orjson
import pytest
from sqlalchemy import func, select

from audit import verification
from bureau import catalogue, holdings, intake, rejects
from bureau.models import batch as batches
from bureau.models import data_key, folio, open_batch, publication
from bureau.open_batches import Receipt
from bureau.records import Row
from kernel import clock, db
from kernel.errors import Conflict
from tests import factories
from tests.bureau.histories import answer, case_filed, entries, expected_record, held_by_batch
from tests.bureau.threads import at_once
from tests.conftest import House
from tests.factories import new_uscc, registration
from tests.nursery import Nursery, nursery

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
    with _nursery(open_house) as workers:
        for round_ in range(8):
            workers.start(f"{round_:064x} {CHUNK_ROWS}")
            workers.hear()
            workers.kill_within(round_ * 0.0006)
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
    with _nursery(open_house) as workers:
        for _ in range(KILLS):
            workers.start(f"{'a' * 64} {ROWS}")
            for _ in range(chance.randrange(4)):
                workers.hear()
            workers.kill_within(chance.random() * 0.02)
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
    with _nursery(open_house) as workers:
        for load in range(LOADS):
            workers.start(f"{load:064x} {LOAD_ROWS}")
            for _ in range(chance.randrange(LOAD_ROWS // CHUNK_ROWS)):
                workers.hear()
            workers.kill_within(chance.random() * 0.004)
            cut += _count(open_batch)
            receipts.append(factories.deliver(delivered(LOAD_ROWS), digest=f"{load:064x}"))
    assert cut > 0, "none was interrupted"
    assert _count(open_batch) == 0
    assert len(entries("batch.received")) == LOADS + 1
    assert {(r.rows, r.accepted, r.rejected) for r in (clean, *receipts)} == {(LOAD_ROWS, clean.accepted, 9)}
    held = held_by_batch(ENTERPRISES, 5)
    assert held[clean.batch][0] == {f"{n}.C5.01" for n in range(1, LOAD_ROWS + 1) if n % 13}
    assert [held[receipt.batch] for receipt in receipts] == [held[clean.batch]] * LOADS
    with db.reading() as reading:
        assert verification.verify(reading).ok
        assert list(holdings.faults(reading)) == []


def prepare(*codes: str) -> None:
    """What the nursery does once (see `tests.nursery`): here, have the codes of the process that tests."""
    intake.CHUNK_ROWS = CHUNK_ROWS
    ENTERPRISES[:] = codes
    catalogue.current()


def work(line: str, tell: Callable[[int], None]) -> None:
    """What a worker does that may be killed: receive the first rows under a digest."""
    digest, rows = line.split()
    intake.receive(factories.batch(delivered(int(rows)), digest=digest), tell)


def _nursery(house: House) -> AbstractContextManager[Nursery]:
    return nursery(house.url, house.home / "keys" / "root.key", __name__, *ENTERPRISES)


def _finished(outcome: Receipt | Exception) -> bool:
    return isinstance(outcome, Receipt)


def _records(code: str) -> list[Any]:
    shown = orjson.loads(answer(code))["classes"]
    return [record for part in shown for of in part["datasets"] for record in of["records"]]


def _rows_done() -> int:
    with db.reading() as reading:
        return reading.scalar(select(open_batch.c.rows_done)) or 0


def _count(table: Any) -> int:
    with db.reading() as reading:
        return reading.scalar(select(func.count()).select_from(table)) or 0
