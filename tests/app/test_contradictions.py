# SPDX-License-Identifier: Apache-2.0
"""A few firms of the demo city are told of differently by two sources, and the reconciliation list says so."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from app.city import WHOLE, Firm, batches, firms
from app.city.contradictions import FACTS, contradicted, has_copy
from bureau import discrepancies, intake, reconciliation, reconciliation_list
from kernel import clock
from tests.app.conftest import DEMO_ENTERPRISES, run_here
from tests.conftest import House
from tests.factories import consent

LISTED = {
    "capital": "registered-capital",
    "representative": "legal-representative",
    "address": "registered-address",
    "paid-in": "paid-in-capital",
    "staff": "employees",
}
TOLD = datetime(2026, 9, 1, tzinfo=UTC)  # the end of the city's story; what is older than two years is let rest


@pytest.fixture
def few() -> list[Firm]:
    """One firm for each fact; two of whom all is told alike, of one twice."""
    city = list(firms(300))
    differing = [next(firm for firm in city if contradicted(firm) == fact) for fact in FACTS]
    copied = next(firm for firm in city if has_copy(firm) and contradicted(firm) is None)
    return [*differing, copied, city[0]]


def test_one_firm_in_forty_and_not_the_one_that_people_are_shown() -> None:
    city = list(firms(2_000))
    assert 40 <= sum(contradicted(firm) is not None for firm in city) <= 60
    assert {contradicted(firm) for firm in city[:300]} == {None, *FACTS}
    assert contradicted(city[0]) is None
    assert not has_copy(city[0])


def test_the_list_names_each_firm_with_its_fact_and_nobody_else(
    house: House, few: list[Firm], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "now", lambda: TOLD)
    for firm in few:
        consent(firm.uscc, scope="collect")
    compared = [supply for supply in WHOLE if supply.dataset in discrepancies.datasets()]
    for batch in batches(few, supplies=compared):
        intake.receive(batch)
    assert reconciliation.catch_up() == len(few)
    listed = {one["uscc"]: look(one) for one in reconciliation_list.page({}, None, 100)[0]}
    wanted = {firm.uscc: LISTED[fact] for firm in few if (fact := contradicted(firm))}
    assert {uscc: one["fact"] for uscc, one in listed.items()} == wanted
    told = {one["fact"]: {each["source"]: each["value"] for each in one["statements"]} for one in listed.values()}
    assert told["registered-capital"]["S01"] == 2 * told["registered-capital"]["S02"]
    assert told["paid-in-capital"]["S04"] // 2 == told["paid-in-capital"]["S01"]
    assert told["employees"]["S01"] > told["employees"]["S05"]
    assert told.keys() == set(LISTED.values())


def look(one: dict[str, Any]) -> dict[str, Any]:
    return reconciliation_list.look(one["discrepancy"])


def test_after_the_demo_is_filled_the_walk_finds_what_its_departments_files_differ_in(city_home: Path) -> None:
    environment = {"BUREAU_HOME": str(city_home)}
    looked_at = run_here(environment, "reconcile", "--json").json
    assert looked_at == {"enterprises": DEMO_ENTERPRISES}
    listed = run_here(environment, "reconcile", "list", "--json").json
    lasting = {LISTED[fact] for fact in ("capital", "representative", "address")}  # of states, however late it is
    wanted = {(f.uscc, LISTED[fact]) for f in firms(DEMO_ENTERPRISES) if (fact := contradicted(f))}
    found = {(one["uscc"], one["fact"]) for one in listed}
    assert found <= wanted
    assert {one for one in wanted if one[1] in lasting} <= found
    assert {each["source"] for one in listed for each in one["statements"]} >= {"S01", "S02"}
