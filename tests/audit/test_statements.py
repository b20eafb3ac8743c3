# SPDX-License-Identifier: Apache-2.0
"""A statement once frozen stays; what turns up later is in a supplement; two people correct; anyone recounts it."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import delete, insert, text, update
from sqlalchemy.exc import DBAPIError

from access import people
from app import counter, worker
from audit import apart, corrections, export, log, recount, rewards, sealing, statements
from audit.models import entry as entries
from audit.models import reward_statement
from audit.notes import BadNote
from audit.trail import Entry
from kernel import canonical, clock, db, signing
from kernel.errors import Conflict, Gone, Invalid, NotFound, Unavailable
from tests import factories
from tests.audit.test_rewards import answered, append
from tests.audit.test_sealing import ORIGIN
from tests.conftest import House
from tests.kernel.test_problems import assert_problem

SUMMER = datetime(2026, 7, 1, 4, 0, tzinfo=UTC)
NEW_YEAR = datetime(2026, 12, 31, 16, 0, tzinfo=UTC)  # in Shanghai
SETTLED = NEW_YEAR + statements.SETTLES_IN


@pytest.fixture(autouse=True)
def tariff(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "rewards.toml"
    file.write_text('[default]\nversion = "test"\nrate_fen = 250\ncap_fen = 1_000\n')
    monkeypatch.setattr(rewards, "TARIFFS", file)


@pytest.fixture
def year(house: House, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """2026 with two billable questions, sealed, and the year over; gives what appends more."""

    def more(*said: Entry, now: datetime = SUMMER, seal: bool = True) -> list[str]:
        written = append(monkeypatch, *said, now=now)
        if seal:
            sealing.seal(ORIGIN)
        monkeypatch.setattr(clock, "now", lambda: SETTLED)
        return written

    more(answered("u"), answered("v"), answered("u"))
    return more


def frozen(year: int = 2026, now: datetime = SETTLED) -> dict[str, Any]:
    document = statements.freeze(year, now, "counter")
    assert document is not None
    return document


def test_several_processes_count_what_one_counts(open_house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    append(monkeypatch, *(answered(f"u{number % 40}") for number in range(100)), now=SUMMER)
    sealing.seal(ORIGIN)
    with db.reading() as reading:
        alone = statements.statement(reading, 2026)
        monkeypatch.setattr(apart, "WORTH_IT", 1)
        monkeypatch.setattr(apart, "is_alone", lambda: True)
        monkeypatch.setattr(rewards, "LEAVES_OF_A_PART", 16)
        assert statements.statement(reading, 2026) == alone
    assert (alone["queries"], alone["billable"]) == (100, 40)


def shown(year: int = 2026) -> dict[str, Any]:
    with db.reading() as reading:
        return statements.statement(reading, year)


def supplements(year: int = 2026) -> list[dict[str, Any]]:
    with db.reading() as reading:
        return statements.listed(reading, year)[1:]


def corrected(named: list[str], count: str = "out", by: tuple[str, str] = ("person:a", "person:b")) -> None:
    with db.transaction() as tx:
        proposed = corrections.propose(tx, 2026, named, count, "演示：重复", by[0])
        corrections.confirm(tx, 2026, proposed["correction_id"], by[1])
    sealing.seal(ORIGIN)


@pytest.mark.usefixtures("year")
def test_a_frozen_statement_is_signed_and_on_the_trail() -> None:
    document = frozen()
    assert (document["billable"], document["reward_fen"], document["final"]) == (2, 500, True)
    signature = document.pop("signature")
    with db.reading() as reading:
        public = signing.public_keys(reading, "reward")
        assert log.root_at(reading, document["leaf_to"]).hex() == document["root"]
        told = json.loads(
            reading.scalar(entries.select().with_only_columns(entries.c.bytes).where(entries.c.type == "reward.frozen"))
        )
    assert signing.is_signed(signature, canonical.encode(document), public)
    assert told["detail"]["digest"] == canonical.digest(document)
    assert shown() == document | {"signature": signature}


def test_what_is_sealed_after_the_freeze_is_in_a_supplement_and_counts_once(year: Callable[..., list[str]]) -> None:
    year(answered("late"), answered("u"), seal=False)
    with pytest.raises(Conflict, match="wait to be sealed"):
        statements.freeze(2026, SETTLED, "counter")
    sealing.seal(ORIGIN)
    first = frozen()
    assert statements.freeze(2026, SETTLED, "counter") is None
    year(answered("later"), answered("u"), answered("v", institution="j"))
    year(answered("next"), now=SETTLED)
    assert shown() == first
    second = frozen()
    assert (second["number"], second["queries"], second["billable"]) == (1, 8, 5)
    assert (first["reward_fen"], second["reward_fen"], second["difference_fen"]) == (750, 1_000, 250)
    assert (first["leaf_from"], second["leaf_from"], second["leaf_to"] - first["leaf_to"]) == (0, 0, 3)
    assert supplements() == [second]
    assert statements.freeze(2026, SETTLED, "counter") is None
    assert shown(2027)["queries"] == 1


@pytest.mark.usefixtures("year")
def test_a_correction_by_two_people_is_in_a_later_range(year: Callable[..., list[str]]) -> None:
    first, named = frozen(), year(answered("w"), answered("x"))
    corrected(named)
    second = frozen()
    assert (second["queries"], second["billable"], second["difference_fen"]) == (5, 2, 0)
    assert second["corrections"] == {"count": 1, "billable": -2}
    corrected(named[:1], "in")
    assert frozen()["billable"] == 3
    assert shown() == first
    assert [each["number"] for each in supplements()] == [1, 2]


def test_a_correction_is_refused_that_names_anything_else(year: Callable[..., list[str]]) -> None:
    named = year(answered("w"), answered("w"), answered("s", purpose="self"))
    next_year = year(answered("y"), now=SETTLED)
    unsealed = year(answered("z"), seal=False)
    refused = ([named[0], named[1]], [named[2]], next_year, unsealed, ["nothing"])
    for wrong in refused:
        with db.transaction() as tx, pytest.raises(Invalid):
            corrections.propose(tx, 2026, wrong, "out", "why", "person:a")
    corrected([named[0]])
    for again in ([named[0]], [named[1]]):
        with db.transaction() as tx, pytest.raises(Invalid, match="corrected so before"):
            corrections.propose(tx, 2026, again, "out", "why", "person:a")


def test_nobody_confirms_alone_nor_late_nor_twice(year: Callable[..., list[str]], monkeypatch: Any) -> None:
    named = year(answered("w"))
    with db.transaction() as tx:
        proposed = [corrections.propose(tx, 2026, named, "out", "why", "person:a")["correction_id"] for _ in range(2)]
    with db.transaction() as tx:
        with pytest.raises(Conflict, match="another person"):
            corrections.confirm(tx, 2026, proposed[0], "person:a")
        with pytest.raises(NotFound):
            corrections.confirm(tx, 2025, proposed[0], "person:b")
        assert corrections.confirm(tx, 2026, proposed[0], "person:b")["status"] == "confirmed"
        with pytest.raises(Conflict, match="confirmed"):
            corrections.confirm(tx, 2026, proposed[0], "person:c")
        with pytest.raises(Invalid, match="corrected so before"):
            corrections.confirm(tx, 2026, proposed[1], "person:b")
    monkeypatch.setattr(clock, "now", lambda: SETTLED + corrections.LIFE)
    with db.transaction() as tx, pytest.raises(Conflict, match="lapsed"):
        corrections.confirm(tx, 2026, proposed[1], "person:b")


def test_the_worker_freezes_each_year_once_and_supplements_with_the_next(
    year: Callable[..., list[str]], monkeypatch: Any
) -> None:
    monkeypatch.setattr(clock, "now", lambda: SETTLED - timedelta(seconds=1))
    worker.freeze_once()
    assert not shown()["final"]
    monkeypatch.setattr(clock, "now", lambda: SETTLED)
    worker.freeze_once()
    assert shown()["final"]
    year(answered("late"))
    worker.freeze_once()
    assert supplements() == []
    a_year_later = SETTLED + timedelta(days=365)
    monkeypatch.setattr(clock, "now", lambda: a_year_later)
    assert statements.freeze_due(a_year_later) == [(2026, 1), (2027, 0)]
    assert statements.freeze_due(a_year_later) == []


@pytest.mark.usefixtures("year")
def test_a_year_that_is_not_over_or_before_the_log_is_not_frozen() -> None:
    for asked, now, told in ((2026, NEW_YEAR, "not over"), (2025, SETTLED, "begins after 2025")):
        with pytest.raises(Conflict, match=told):
            statements.freeze(asked, now, "counter")
    before = shown(2025)
    assert [before[name] for name in ("final", "queries", "leaf_from", "leaf_to", "root")] == [True, 0, 0, 0, None]
    sealing.seal(ORIGIN)
    assert shown(2025) == before


@pytest.mark.usefixtures("year")
def test_one_statement_at_a_time_is_counted_and_a_frozen_one_is_shown_at_once() -> None:
    with statements._counting:
        with pytest.raises(Unavailable, match="being counted"):
            shown()
        frozen()
        assert shown()["final"]
    assert shown(2027)["final"] is False


@pytest.mark.usefixtures("year")
def test_nothing_is_counted_from_what_is_past_its_retention(house: House) -> None:
    with db.transaction() as tx:
        if house.engine == "postgresql":
            tx.execute(text("ALTER TABLE entry DISABLE TRIGGER USER"))
        else:
            tx.execute(text("DROP TRIGGER entry_no_update"))
        tx.execute(update(entries).values(bytes=None))
    with pytest.raises(Gone, match="retention"):
        shown()


@pytest.mark.usefixtures("year")
def test_no_statement_is_changed_in_the_database_and_verify_names_one_that_is(house: House) -> None:
    frozen()
    changes = (
        update(reward_statement).values(leaf_to=1),
        delete(reward_statement),
        insert(reward_statement).prefix_with("OR REPLACE", dialect="sqlite").from_select(
            list(reward_statement.c.keys()), reward_statement.select()
        ),
    )  # fmt: skip
    for change in changes:
        with pytest.raises(DBAPIError), db.transaction() as tx:
            tx.execute(change)
    with db.transaction() as tx:
        assert counter.verify(tx).ok
        if house.engine == "postgresql":
            tx.execute(text("ALTER TABLE reward_statement DISABLE TRIGGER USER"))
        else:
            tx.execute(text("DROP TRIGGER reward_statement_no_update"))
        edited = tx.scalar(reward_statement.select().with_only_columns(reward_statement.c.document))
        tx.execute(update(reward_statement).values(document=edited.replace(b'"reward_fen":500', b'"reward_fen":900')))
        found = counter.verify(tx)
    assert [(fault.entry, fault.kind) for fault in found.faults] == [("reward statement 2026/0", "reward")]


@pytest.mark.parametrize("form", export.FORMS)
def test_anyone_recounts_a_statement_from_an_export(
    year: Callable[..., list[str]], tmp_path: Path, form: export.Form
) -> None:
    frozen()
    corrected(year(answered("late"), answered("w"))[:1])
    document, file = frozen(), tmp_path / f"log.{form}"
    export.write(file, document["leaf_from"], document["leaf_to"], form)

    def check(content: bytes, taken: Path = file) -> dict[str, Any]:
        with db.reading() as reading:
            public, known = signing.public_keys(reading, "reward"), log.keys(reading, ORIGIN)
        return recount.check(content, public, taken, export.proof_of(taken).read_text(), known)

    assert check(json.dumps(document).encode())["billable"] == 3
    for name, value, told in (
        ("reward_fen", 1, "not what was signed"),
        ("signature", None, "provisional"),
        ("signature", "x..y", "not what was signed"),
    ):
        with pytest.raises(BadNote, match=told):
            check(json.dumps(document | {name: value}).encode())
    with pytest.raises(BadNote, match="not a reward statement"):
        check(b'{"year": 2026}')
    for name, value, told in (
        ("reward_fen", 1, "reward_fen: the statement says 1, and the entries give 750"),
        ("leaf_from", 1, "leaf_from: the statement says 1, and the entries give 0"),
        ("leaf_to", 2, "take it with --from 0 --to 2"),
        ("root", "00", "another root"),
        ("bonus", 7, "what no entry can"),
    ):
        lie = {key: one for key, one in document.items() if key != "signature"} | {name: value}
        lie["signature"] = signing.signer("reward").sign(canonical.encode(lie))
        with pytest.raises(BadNote, match=told):
            check(json.dumps(lie).encode())


def test_over_http_finance_proposes_and_compliance_confirms(
    client: FlaskClient, year: Callable[..., list[str]], monkeypatch: Any
) -> None:
    (named,) = year(answered("w"))
    frozen()
    monkeypatch.undo()
    finance, compliance, admin = (bearer(role) for role in ("finance", "compliance", "admin"))
    statement = client.get("/v1/reward-statements/2026", headers=finance).json
    signature = statement.pop("signature")
    keys = client.get("/oauth/jwks").json["keys"]
    assert signing.is_signed(signature, canonical.encode(statement), keys)
    path, body = "/v1/reward-statements/2026/corrections", {"entries": [named], "count": "out", "reason": "演示"}
    assert_problem(client.post(path, headers=admin, json=body), 403, "insufficient-scope")
    assert_problem(client.post(path, headers=finance, json=body | {"entries": ["x"]}), 422, "invalid-field")
    proposed = client.post(path, headers=finance, json=body)
    assert (proposed.status_code, proposed.json["billable"], proposed.json["status"]) == (201, -1, "proposed")
    confirm = f"{path}/{proposed.json['correction_id']}/confirm"
    for wrong in (finance, admin):
        assert_problem(client.post(confirm, headers=wrong), 403, "insufficient-scope")
    assert_problem(client.post(path, headers=compliance, json=body), 403, "insufficient-scope")
    assert client.post(confirm, headers=compliance).json["status"] == "confirmed"
    assert [each["status"] for each in client.get(path, headers=finance).json["corrections"]] == ["confirmed"]
    told = {"supplements": [], "next_cursor": None}
    assert client.get("/v1/reward-statements/2026/supplements", headers=finance).json == told


def bearer(role: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {factories.session(factories.person(role)[0], people.ROLE_SCOPES[role])}"}
