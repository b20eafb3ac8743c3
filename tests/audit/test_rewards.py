# SPDX-License-Identifier: Apache-2.0
"""The reward: counted from the sealed trail as a naive script over an export counts it, to the fen."""

import itertools
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st

from access import people
from audit import export, log, rewards, sealing, statements, trail
from audit.events import Event
from audit.rewards import Count, Tally, Tariff
from audit.trail import Entry
from kernel import canonical, clock, db, ids
from tests import factories
from tests.audit.test_sealing import ORIGIN
from tests.conftest import House
from tests.kernel.test_problems import assert_problem

_numbers = itertools.count()
NOON = datetime(2026, 11, 24, 4, 0, tzinfo=UTC)


def answered(uscc: str = "u", institution: str = "i", billable: bool = True, **changes: Any) -> Entry:
    said: dict[str, Any] = {"type": Event.QUERY_ANSWERED, "actor": "client:c", "outcome": "answered"}
    said |= {
        "institution_name": "演示银行",
        "uscc": uscc,
        "institution": institution,
        "product": "records",
        "purpose": "pre_loan",
    }
    return Entry(**{**said, "billable": billable, **changes})


def append(at: Any, *said: Entry, now: datetime = NOON) -> list[str]:
    """Write entries at an instant, their ids in their order; returns the ids."""
    at.setattr(clock, "now", lambda: now)
    made = [replace(one, id=f"{ids.first_at(now)[:24]}{next(_numbers):012x}") for one in said]
    with trail.recording() as tx:
        for one in made:
            trail.append(tx, one)
    return [one.id for one in made]


def stated(year: int = 2026) -> dict[str, Any]:
    with db.reading() as reading:
        return statements.statement(reading, year)


def naive(lines: list[bytes], year: int) -> tuple[int, int]:
    """Thirty lines that anyone can check: queries and billable ones of a year, from an export."""
    queries, once = 0, set()
    for line in lines:
        entry = json.loads(line)["entry"]
        local = datetime.fromisoformat(entry["time"]) + timedelta(hours=8)
        if local.year != year or entry["type"] != "query.answered" or entry.get("purpose") == "self":
            continue
        queries += 1
        if entry["billable"]:
            once.add((entry["institution"], entry["uscc"], entry["product"], local.date()))
    return queries, len(once)


def exported() -> list[bytes]:
    with db.reading() as reading:
        head = log.head(reading)
    return b"".join(export.stream(0, head.size if head else 0)).splitlines()


def test_only_what_is_sealed_counts_and_each_enterprise_once_a_day(house: House, monkeypatch: Any) -> None:
    append(monkeypatch, answered(), answered(), answered("v"), answered(institution="j"))
    append(monkeypatch, answered(billable=False), answered("w", purpose="self"))
    append(monkeypatch, Entry(type=Event.QUERY_REPLAYED, actor="client:c", uscc="x", institution="i"))
    assert stated()["queries"] == 0
    sealing.seal(ORIGIN)
    found = stated()
    assert (found["queries"], found["billable"]) == (5, 3)
    assert (found["leaf_from"], found["leaf_to"], found["final"]) == (0, 7, False)
    assert found["by_institution"] == {
        "i": {"name": "演示银行", "queries": 4, "billable": 2},
        "j": {"name": "演示银行", "queries": 1, "billable": 1},
    }
    for name in ("month", "product", "purpose"):
        assert list(found[f"by_{name}"].values()) == [{"queries": 5, "billable": 3}]
    assert list(found["by_month"]) == ["2026-11"]
    assert naive(exported(), 2026) == (5, 3)


def test_a_day_and_a_year_are_those_of_shanghai(house: House, monkeypatch: Any) -> None:
    last = datetime(2026, 12, 31, 15, 59, 59, tzinfo=UTC)
    append(monkeypatch, answered(), now=last)
    append(monkeypatch, answered(), now=last + timedelta(seconds=1))
    sealing.seal(ORIGIN)
    assert [(stated(year)["queries"], stated(year)["leaf_from"], stated(year)["leaf_to"]) for year in (2026, 2027)] == [
        (1, 0, 1), (1, 1, 2)
    ]  # fmt: skip
    assert [stated(year)["final"] for year in (2026, 2027)] == [False, False]


@pytest.mark.parametrize(("billable", "rate", "fen"), [(10, 0, 0), (10, 7, 70), (99, 2_000_000, 100_000_000)])
def test_the_amount_is_the_rate_up_to_the_cap(billable: int, rate: int, fen: int) -> None:
    tally = Tally(2026, groups={("i", "records", "pre_loan", "2026-11"): Count(billable, billable)})
    assert rewards.stated(tally, Tariff("t", rate, 100_000_000))["reward_fen"] == fen


times = st.integers(0, 30 * 24).map(lambda hours: NOON + timedelta(hours=hours))
events = st.lists(st.tuples(times, st.sampled_from("uvw"), st.sampled_from("ij"), st.booleans()), max_size=40)


@pytest.mark.parametrize("together", [1, 3, rewards.LEAVES_OF_A_PART])
@given(found=events)
def test_the_fold_is_the_naive_count_in_whatever_order(
    together: int, found: list[tuple[datetime, str, str, bool]]
) -> None:
    lines = []
    for index, (time, uscc, institution, billable) in enumerate(found):
        entry = {"time": clock.rfc3339(time), "type": "query.answered", "uscc": uscc, "institution": institution}
        entry |= {"product": "records", "purpose": "pre_loan", "billable": billable}  # type: ignore[dict-item]
        lines.append((index, canonical.encode(entry)))
    parts = [rewards.folded(2026, rewards.read(lines[at : at + together])) for at in range(0, len(lines), together)]
    tally = rewards.tallied(2026, lambda: parts)
    told = [b'{"entry":%b}' % line for _, line in lines]
    assert (tally.queries, tally.billable) == naive(told, 2026)


def test_it_is_the_finance_offices(house: House, client: FlaskClient) -> None:
    def bearer(role: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {factories.session(factories.person(role)[0], people.ROLE_SCOPES[role])}"}

    shown = client.get("/v1/reward-statements/2026", headers=bearer("finance"))
    assert (shown.status_code, shown.json["year"], shown.json["final"]) == (200, 2026, False)
    assert_problem(client.get("/v1/reward-statements/2026", headers=bearer("admin")), 403, "insufficient-scope")
    assert_problem(client.get("/v1/reward-statements/1", headers=bearer("finance")), 404, "not-found")
