# SPDX-License-Identifier: Apache-2.0
"""Screenings of the demo city say what a look into each opened dossier says.

BUREAU_TEST_SCREENINGS says how many are drawn (default: a few).
"""

import os
import random
from datetime import date
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from access import limits
from app import city as demo_city
from bureau import catalogue, indicators, intake, vault
from bureau.models import directory
from bureau.screening import index
from consent.models import consent as consents
from consent.question import CLASSES
from kernel import clock, db
from tests.bureau.screening.screened import City
from tests.bureau.screening.test_screening import truth
from tests.conftest import House
from tests.factories import consent, token

FIRMS = 40
SCREENINGS = int(os.environ.get("BUREAU_TEST_SCREENINGS", "40"))
COVERED = ((1, 2, 3, 4, 5, 6, 7), (1,), (1, 2, 4), (2, 5, 6), (1, 3, 4, 7))
Rows = list[dict[str, Any]]


def test_random_screenings_find_what_opened_dossiers_say(
    house: House, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "_screenings_per_day", 10**6)
    monkeypatch.setattr(limits, "CLIENT_PER_SECOND", 10**6)
    monkeypatch.setattr(index, "ENTERPRISES_A_SHEET", 16)
    city = City(client, 1)
    firms = list(demo_city.firms(FIRMS))
    for firm in firms[::3]:
        consent(firm.uscc, "platform", scope="collect", purposes=("pre_loan",))
    for batch in demo_city.batches(firms):
        intake.receive(batch)
    for place, firm in enumerate(firms):
        if place % 7:
            consent(firm.uscc, city.bank, classes=COVERED[place % len(COVERED)])
    index.build()
    rows = looked_into()
    assert len(rows) > FIRMS / 2

    @settings(max_examples=SCREENINGS)
    @given(st.randoms(use_true_random=False))
    def ask(chance: random.Random) -> None:
        city.bearer = token(city.bank, ("screening:search",))
        compare(city, rows, chance)

    ask()


def compare(city: City, rows: Rows, chance: random.Random) -> None:
    """One screening, page by page, against the same question put to each row."""
    where = drawn(rows, chance, 3)
    sort = [{"indicator": code, "desc": chance.random() < 0.5} for code in some_codes(chance)]
    expected = [row for row in rows if truth(where, row, rows) is True]
    for each in reversed(sort):
        have = [row for row in expected if row.get(each["indicator"]) is not None]
        have.sort(key=lambda row: row[each["indicator"]], reverse=each["desc"])  # used at once
        expected = have + [row for row in expected if row.get(each["indicator"]) is None]
    page = city.screen(where=where, sort=sort, limit=chance.randint(1, 20)).json
    assert page["total"] == len(expected), where
    for told in page["conditions"] if "all" in where else ():
        rest = [node for place, node in enumerate(where["all"]) if told["path"] != f"all/{place}"]
        assert told["without"] == sum(1 for row in rows if truth({"all": rest}, row, rows) is True), where
    found = page["enterprises"]
    while page["next_cursor"]:
        page = city.screen(cursor=page["next_cursor"]).json
        assert page["total"] == len(expected)
        found += page["enterprises"]
    assert [each["uscc"] for each in found] == [row["uscc"] for row in expected], (where, sort)
    for each, row in zip(found, expected, strict=True):
        assert each["indicators"] == {code: shown(row.get(code), code) for code in each["indicators"]}


def looked_into() -> Rows:
    """What each dossier says as far as its consent covers it, by opening it; in order of USCC."""
    rows = []
    with db.reading() as reading:
        deciding = consents.c.deciding, consents.c.scope == "query"
        covered = {row.uscc: row.classes for row in reading.execute(select(consents).where(*deciding))}
        collecting = set(reading.scalars(select(consents.c.uscc).where(consents.c.scope == "collect")))
        opened = {
            uscc: vault.open_dossier(reading, uscc, CLASSES)
            for uscc in reading.scalars(select(directory.c.uscc).distinct())
        }
    facts = {uscc: indicators.facts_of(dossier, clock.legal_day(clock.now())) for uscc, dossier in opened.items()}
    supplied = {dataset for each in facts.values() for dataset in each.records}
    lenders = {each.code for each in catalogue.current().datasets.values() if each.source_kind == "lender"}
    for uscc in sorted(opened.keys() & covered.keys()):
        classes = {int(number) for number in covered[uscc].split(",")}
        row: dict[str, Any] = {"uscc": uscc}
        for each, value in zip(indicators.ALL.values(), indicators.compute(facts[uscc]), strict=True):
            told_by = supplied if uscc in collecting else supplied - lenders
            untold = value == 0 and each.rule.presumes is not None and each.rule.presumes not in told_by
            row[each.code] = None if untold or not set(each.source_classes) <= classes else value
        rows.append(row)
    return rows


def drawn(rows: Rows, chance: random.Random, depth: int) -> dict[str, Any]:
    """Conditions with values that occur, so that they divide the city."""
    kind = chance.choice(["all", "all", "any", "not", "leaf"]) if depth else "leaf"
    if kind == "not":
        return {"not": drawn(rows, chance, depth - 1)}
    if kind != "leaf":
        return {kind: [drawn(rows, chance, depth - 1) for _ in range(chance.randint(0, 3))]}
    code = chance.choice(list(indicators.ALL))
    values = [row[code] for row in rows if row[code] is not None]
    allowed = ["missing"]
    if values:
        is_category = indicators.ALL[code].type == "category"
        ordered = ["gte", "gt", "lte", "lt", "between", "top_percent"]
        is_flag = indicators.ALL[code].type in ("boolean", "date")
        allowed = ["missing"] if is_flag else ["eq", "ne", "in", *(["prefix"] if is_category else ordered)]
    operator = chance.choice(allowed)
    value: Any = chance.choice(values) if values else None
    match operator:
        case "missing":
            value = chance.random() < 0.5
        case "in":
            value = chance.choices(values, k=3)
        case "between":
            value = sorted(chance.choices(values, k=2))
        case "top_percent":
            value = chance.choice([1, 10, 33.3, 100])
        case "prefix":
            value = value[: chance.randint(1, len(value))]
    return {"indicator": code, operator: value}


def some_codes(chance: random.Random) -> list[str]:
    return chance.sample(list(indicators.ALL), chance.randint(0, 3))


def shown(value: Any, code: str) -> Any:
    if value is None:
        return None
    if indicators.ALL[code].type == "boolean":
        return value == 1
    if indicators.ALL[code].type == "date":
        return date.fromordinal(int(value)).isoformat()
    return value
