# SPDX-License-Identifier: Apache-2.0
"""The index: built in steps that survive a kill, patched where something changed, of any number of sheets."""

from collections.abc import Iterator, Sequence
from datetime import date
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient
from sqlalchemy import select, update

from bureau import amendments, indicators, vault
from bureau.folios import Correction
from bureau.models import screening_build, screening_sheet
from bureau.screening import index, versions
from bureau.screening.columns import Snapshot
from consent import consents
from kernel import db
from kernel.keys import Altered
from tests.bureau.screening.screened import EVERYONE, City, found_in
from tests.conftest import House
from tests.factories import COUNTER, consent, deliver, registration


@pytest.fixture(autouse=True)
def small_sheets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "ENTERPRISES_A_SHEET", 2)
    monkeypatch.setattr(index, "MOST_PATCHED", 4)


def opened() -> Snapshot:
    with db.reading() as reading:
        return versions.current(reading)[0]


def held(snapshot: Snapshot) -> list[dict[str, Any]]:
    """What a snapshot says, by enterprise."""
    columns = {code: column.values() for code, column in zip(indicators.ALL, snapshot.columns, strict=True)}
    return [
        {"uscc": snapshot.uscc(row), "name": snapshot.names[row]}
        | {code: None if np.isnan(values[row]) else float(values[row]) for code, values in columns.items()}
        for row in range(len(snapshot))
    ]


def test_a_build_that_was_killed_goes_on_where_it_stood(
    house: House, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    city = City(client, 7)
    city.index()
    whole = held(opened())
    filled: list[int] = []

    def killed_soon(build: int, parts: Sequence[int]) -> Iterator[int]:
        for part in parts:
            if len(filled) == 2:
                raise KeyboardInterrupt
            filled.append(part)
            yield index.fill(build, part)

    with pytest.raises(KeyboardInterrupt):
        index.build(spread=killed_soon)
    assert held(opened()) == whole  # the version before

    def the_rest(build: int, parts: Sequence[int]) -> Iterator[int]:
        filled.extend(parts)
        yield from index.fill_here(build, parts)

    told: list[int] = []
    assert index.build(told.append, the_rest) == 7
    assert (filled, told) == ([0, 1, 2, 3], [6, 7])
    assert (opened().version, held(opened())) == (2, whole)


def test_a_build_of_other_indicators_is_not_gone_on_with(house: House, client: FlaskClient) -> None:
    city = City(client, 3)
    with db.transaction() as tx:
        begun = index._begun(tx)
        assert index._begun(tx) == begun
        tx.execute(update(screening_build).values(rules="others"))
        assert index._begun(tx) == begun + 1
        assert set(tx.scalars(select(screening_sheet.c.build))) == {begun + 1}
    city.index()


def test_what_came_while_a_build_was_under_way_is_in_it(house: House, client: FlaskClient) -> None:
    city = City(client, 4)

    def brought_meanwhile(build: int, parts: Sequence[int]) -> Iterator[int]:
        yield from index.fill_here(build, parts)
        deliver([registration(1, city.usccs[0], **{"C1.01.10": "1999-01-01"})])

    index.build(spread=brought_meanwhile)
    ages = {each["uscc"]: each["BASIC.AGE_YEARS"] for each in held(opened())}
    assert min(ages, key=lambda uscc: -ages[uscc]) == city.usccs[0]
    assert index.patch() == 0


def test_a_patch_computes_who_was_touched_and_makes_what_a_build_would(house: House, client: FlaskClient) -> None:
    city = City(client, 7)
    for uscc in city.usccs:
        consent(uscc, city.bank)
    city.index()
    assert index.patch() == 0
    page = city.screen(where=EVERYONE, limit=3)
    before = held(opened())
    deliver([registration(1, city.usccs[2], **{"C1.01.10": "1999-01-01"})])
    with db.transaction() as tx:  # an overlay touches, too
        dossier = vault.open_dossier(tx, city.usccs[5], (1,))
        (record,) = indicators.facts_of(dossier, date(2026, 11, 25)).records["C1.01"]
        amendments.amend(
            tx, city.usccs[5], record["id"], Correction("correction", {"C1.01.10": "1998-01-01"}), "an error"
        )
    assert index.patch() == 2
    patched = held(opened())
    assert [row["uscc"] for row in patched if row not in before] == [city.usccs[2], city.usccs[5]]
    assert index.patch() == 0
    assert found_in(city.screen(cursor=page.json["next_cursor"])) == city.usccs[3:6]  # over the version before
    index.build()
    assert held(opened()) == patched


def test_who_lets_the_bureau_collect_is_computed_anew(house: House, client: FlaskClient) -> None:
    city = City(client, 3)
    city.index()
    given = consent(city.usccs[1], "platform", scope="collect", purposes=("pre_loan",))
    assert index.patch() == 1
    with db.transaction() as tx:
        consents.revoke(tx, given, COUNTER)
    assert index.patch() == 1


def test_too_many_are_not_patched_but_built(house: House, client: FlaskClient) -> None:
    city = City(client, 6)
    city.index()
    deliver([registration(n, uscc, **{"C1.01.10": "1999-01-01"}) for n, uscc in enumerate(city.usccs, 1)])
    assert index.patch() == 6
    with db.reading() as reading:
        assert versions.heads(reading)[0].patch == 0
        assert len(set(reading.scalars(select(screening_sheet.c.build)))) == 2  # each with a version that is kept


def test_a_sheet_in_another_place_does_not_open(house: House, client: FlaskClient) -> None:
    City(client, 3).index()
    table = screening_sheet.c
    with db.transaction() as tx:
        first = tx.scalar(select(table.ciphertext).where(table.part == 0))
        tx.execute(update(screening_sheet).where(table.part == 1).values(ciphertext=first))
    with pytest.raises(Altered):
        opened()
