# SPDX-License-Identifier: Apache-2.0
"""The vault: a dossier as of a publication is the same for ever; what was edited or moved does not open."""

import itertools
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select, text, update

from bureau import amendments, compaction, vault
from bureau.folios import Correction
from bureau.models import data_key, folio
from consent.question import CLASSES
from kernel import db, keys
from kernel.keys import Altered
from tests import factories
from tests.bureau.histories import History, answer, case_filed, electricity, entries
from tests.conftest import House
from tests.factories import ask, bank, consent, new_uscc, registration, token

in_one_house = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
MARKED = "绝不外泄的经营范围"


@st.composite
def deliveries(draw: st.DrawFn, uscc: str) -> tuple[list[Any], str]:
    rows, number = [], itertools.count(1)
    for kind in draw(st.lists(st.sampled_from(["registration", "electricity", "case"]), min_size=1, max_size=4)):
        if kind == "registration":
            name = draw(st.sampled_from(["演示甲有限公司", "演示乙有限公司"]))
            rows.append(registration(next(number), uscc, name))
        elif kind == "electricity":
            month, used = draw(st.sampled_from(["2024-01", "2024-02"])), draw(st.sampled_from(["1", "2.5"]))
            rows.append(electricity(next(number), uscc, month, used))
        else:
            rows.append(case_filed(next(number), uscc, draw(st.sampled_from(["演示1号", "演示2号", "演示3号"]))))
    return rows, draw(st.sampled_from(["S01", "S02"]))


def act(data: st.DataObject, history: History) -> None:
    """One random change to what is known: a delivery, an overlay laid or lifted, or a compaction."""
    step = data.draw(st.sampled_from(["deliver", "deliver", "deliver", "lay", "lift", "compact"]))
    in_force = [laid for laid in history.laid if laid.until is None]
    withdrawn = [laid.record for laid in in_force if laid.correction.kind == "withdrawal"]
    amendable = [one.document["id"] for one in history.told if one.document["id"] not in withdrawn]
    if step == "lay" and amendable:
        record = data.draw(st.sampled_from(amendable))
        kind = data.draw(st.sampled_from(["correction", "dispute", "withdrawal"]))
        items: dict[str, Any] = {"C1.01": {"C1.01.07": None}, "C2.01": {"C2.01.04": "9"}, "C5.01": {"C5.01.07": 1}}
        history.lay_over(record, Correction(kind, items[record[-5:]] if kind == "correction" else None))
    elif step == "lift" and in_force:
        history.lift(data.draw(st.sampled_from(in_force)))
    elif step == "compact":
        for number in CLASSES:
            with db.transaction() as tx:
                compaction.compact(tx, history.uscc, number)
    else:
        rows, source = data.draw(deliveries(history.uscc))
        history.deliver(rows, source)


@in_one_house
@given(st.data())
def test_a_dossier_as_of_a_publication_keeps_its_bytes_for_ever(house: House, data: st.DataObject) -> None:
    history, told = History(new_uscc()), {}
    for _ in range(data.draw(st.integers(2, 9))):
        act(data, history)
        with db.reading() as reading:
            newest = vault.open_dossier(reading, history.uscc, CLASSES).publication
        told[newest] = answer(history.uscc)
    for as_of, body in told.items():
        assert answer(history.uscc, as_of=as_of) == body
        document = orjson.loads(body)
        assert document["classes"] == history.classes_at(as_of)
        assert document["name"] == history.name_at(as_of)
        assert document["as_of"]["publication"] == as_of
        some = data.draw(st.sets(st.sampled_from(CLASSES), min_size=1))
        assert orjson.loads(answer(history.uscc, some, as_of))["classes"] == history.classes_at(as_of, some)


def test_before_anything_was_published_nothing_is_known(house: House) -> None:
    history = History(new_uscc())
    history.deliver([registration(1, history.uscc)])
    assert orjson.loads(answer(history.uscc, as_of=0)) | {"as_of": None} == {
        "query_id": "a-query", "uscc": history.uscc, "name": None, "as_of": None, "product": "records",
        "purpose": "pre_loan", "consent_id": "a-consent", "classes": [],
        "receipt": "/v1/audit/receipts/a-query",
    }  # fmt: skip


def test_overlays_in_force_lie_one_above_the_other_as_they_were_laid(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    shuffled = iter("372915084ab")  # ids are no order: two of one millisecond fall as they like
    monkeypatch.setattr(amendments.ids, "new_id", lambda: next(shuffled))
    history = History(new_uscc())
    history.deliver([registration(1, history.uscc)])
    record = history.told[0].document["id"]
    for kind in ("dispute", "correction", "correction", "dispute", "correction", "withdrawal"):
        history.lay_over(record, Correction(kind, {"C1.01.07": len(history.laid)} if kind == "correction" else None))
        assert orjson.loads(answer(history.uscc))["classes"] == history.classes_at(vault.LATEST)


def test_only_the_classes_asked_for_are_opened(house: House) -> None:
    history = History(new_uscc())
    history.deliver([registration(1, history.uscc), electricity(2, history.uscc), case_filed(3, history.uscc)])
    with db.transaction() as tx:
        tx.execute(update(folio).where(folio.c["class"] == 5).values(ciphertext=b"ruined"))
    with db.reading() as reading:
        assert set(vault.open_dossier(reading, history.uscc, (1, 2, 7)).regions) == {1, 2}
        with pytest.raises(Altered):
            vault.open_dossier(reading, history.uscc, (1, 5))


def test_no_byte_of_a_folio_can_be_changed(house: House) -> None:
    history = History(new_uscc())
    history.deliver([registration(1, history.uscc)])
    with db.transaction() as tx:
        (held,) = tx.execute(select(folio.c.ciphertext).where(folio.c.uscc == history.uscc)).scalars()
        for place in range(len(held)):
            edited = held[:place] + bytes([held[place] ^ 1 << place % 8]) + held[place + 1 :]
            tx.execute(update(folio).values(ciphertext=edited))
            with pytest.raises(Altered):
                vault.open_dossier(tx, history.uscc, CLASSES)
        tx.execute(update(folio).values(ciphertext=held))
        vault.open_dossier(tx, history.uscc, CLASSES)


# Each of these does one thing to the stored dossier of `mine`; `other` is another enterprise with the like.
TAMPERINGS: dict[str, str] = {
    "cut off": "UPDATE folio SET ciphertext = substr(ciphertext, 1, 20) WHERE uscc = :mine",
    "emptied": "UPDATE folio SET ciphertext = substr(ciphertext, 1, 0) WHERE uscc = :mine",
    "moved to another class": "UPDATE folio SET class = 7 WHERE uscc = :mine AND class = 1",
    "moved to another batch": "UPDATE folio SET batch = :foreign WHERE uscc = :mine AND class = 1",
    "moved to another part": "UPDATE folio SET part = 5 WHERE uscc = :mine",
    "moved to an impossible part": "UPDATE folio SET part = -1 WHERE uscc = :mine",
    "moved to another enterprise": "UPDATE folio SET uscc = :mine WHERE uscc = :other AND class = 5",
    "suite changed": "UPDATE folio SET suite = 2 WHERE uscc = :mine AND class = 1",
    "suite impossible": "UPDATE folio SET suite = -1 WHERE uscc = :mine AND class = 1",
    "key version changed": "UPDATE folio SET key_version = 2 WHERE uscc = :mine",
    "key version unknown to all": "UPDATE folio SET key_version = -1 WHERE uscc = :mine",
    "data key gone": "DELETE FROM data_key WHERE uscc = :mine",
    "data key of another": (
        "UPDATE data_key SET wrapped = (SELECT wrapped FROM data_key AS k WHERE k.uscc = :other) "
        "WHERE uscc = :mine AND version = 1"
    ),
    "data key edited": "UPDATE data_key SET wrapped = substr(wrapped, 2) WHERE uscc = :mine",
    "contents exchanged": (
        "UPDATE folio SET ciphertext = (SELECT ciphertext FROM folio AS f WHERE f.class = 5) "
        "WHERE uscc = :mine AND class = 2 AND batch = :newer"
    ),
    "overlay moved to another record's class": "UPDATE overlay SET class = 2 WHERE uscc = :mine",
    "overlay taken from another": "UPDATE overlay SET uscc = :mine WHERE uscc = :other",
    "overlay suite changed": "UPDATE overlay SET suite = 2 WHERE uscc = :mine",
    "overlay edited": "UPDATE overlay SET ciphertext = substr(ciphertext, 2) WHERE uscc = :mine",
}


@pytest.mark.parametrize("how", TAMPERINGS)
def test_what_was_tampered_with_does_not_open_and_that_is_on_the_trail(
    house: House, client: FlaskClient, how: str
) -> None:
    asking = bank()
    bearer = token(asking)
    places = _two_dossiers(asking)
    mine = places["mine"]
    assert ask(client, bearer, str(mine)).status_code == 200
    with db.transaction() as tx:
        statement = text(TAMPERINGS[how])
        assert tx.execute(statement, {name: places[name] for name in statement.compile().params}).rowcount > 0

    refused = ask(client, bearer, str(mine))

    assert (refused.status_code, refused.content_type) == (500, "application/problem+json")
    assert refused.json["type"].endswith("/problems/record-altered")
    assert MARKED not in refused.text
    assert "演示精密" not in refused.text
    (entry,) = entries("query.refused")
    assert (entry["rule"], entry["uscc"], entry["outcome"]) == ("record-altered", mine, "refused")
    assert "answer_digest" not in entry
    assert entry["billable"] is False


def test_a_dossier_does_not_open_as_anothers_even_with_its_keys(house: House) -> None:
    """Each of the two bindings is enough: that of the data key to its enterprise, and that of the folio."""
    mine, other = History(new_uscc()), History(new_uscc())
    mine.deliver([registration(1, mine.uscc)])
    other.deliver([case_filed(1, other.uscc)])
    with db.transaction() as tx:
        (key,) = vault.current_keys(tx, [other.uscc]).values()
        tx.execute(update(folio).where(folio.c.uscc == other.uscc).values(uscc=mine.uscc))
        rewrapped = keys.purpose("records").wrap(key, vault._key_bound_to(mine.uscc, 1, 1))
        for wrapped in (select(data_key.c.wrapped).where(data_key.c.uscc == other.uscc), rewrapped):
            given = wrapped if isinstance(wrapped, bytes) else tx.scalar(wrapped)
            tx.execute(update(data_key).where(data_key.c.uscc == mine.uscc).values(wrapped=given))
            with pytest.raises(Altered):
                vault.open_dossier(tx, mine.uscc, (5,))


def test_a_data_key_does_not_unwrap_for_another_enterprise_or_version(house: House) -> None:
    mine, other = new_uscc(), new_uscc()
    factories.deliver([registration(1, mine)])
    with db.reading() as reading:
        wrapped = reading.scalar(select(data_key.c.wrapped).where(data_key.c.uscc == mine))
    vault._unwrap(mine, 1, 1, 1, wrapped)
    for uscc, version in ((other, 1), (mine, 2)):
        with pytest.raises(Altered):
            vault._unwrap(uscc, version, 1, 1, wrapped)


def test_an_answer_given_before_a_folio_was_altered_is_not_given_again(house: House, client: FlaskClient) -> None:
    asking = bank()
    bearer, places = token(asking), _two_dossiers(asking)
    first = ask(client, bearer, str(places["mine"]), key="once")
    with db.transaction() as tx:
        tx.execute(update(folio).values(ciphertext=b"ruined"))
    again = ask(client, bearer, str(places["mine"]), key="once")
    assert (first.status_code, again.status_code) == (200, 500)
    assert [(entry["rule"], entry["of"]) for entry in entries("query.refused")] == [
        ("record-altered", first.json["query_id"])
    ]


def test_no_key_lies_in_the_database_in_the_clear(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[bytes] = []
    new_key: Callable[..., keys.Key] = keys.new_key

    def remember(version: int = 1) -> keys.Key:
        key = new_key(version)
        made.append(key._secret)
        return key

    monkeypatch.setattr(keys, "new_key", remember)
    factories.deliver([registration(1, new_uscc()), registration(2, new_uscc())])
    made += [keys.purpose(name)._secret for name in keys.PURPOSES]
    with db.reading() as reading:
        held = reading.execute(select(data_key.c.wrapped)).scalars().all()
        held += reading.execute(text("SELECT wrapped FROM purpose_key")).scalars().all()
    assert len(made) == len(held) == 2 + len(keys.PURPOSES)
    for secret, wrapped in itertools.product(made, held):
        assert secret not in bytes(wrapped)
        assert secret.hex().encode() not in bytes(wrapped)


def test_an_enterprise_has_one_data_key_whatever_the_number_of_its_batches(house: House) -> None:
    history = History(new_uscc())
    for month in ("2024-01", "2024-02", "2024-03"):
        history.deliver([electricity(1, history.uscc, month)])
    with db.reading() as reading:
        assert len(reading.execute(select(data_key).where(data_key.c.uscc == history.uscc)).all()) == 1


def _two_dossiers(asking: str) -> dict[str, str | int]:
    """Two enterprises with consents, both with two batches and an overlay."""
    mine, other = History(new_uscc()), History(new_uscc())
    for history in (mine, other):
        consent(history.uscc, asking)
        history.deliver([registration(1, history.uscc, **{"C1.01.20": MARKED}), electricity(2, history.uscc)])
        history.lay_over(history.told[0].document["id"], Correction("correction", {"C1.01.20": MARKED * 2}))
    newer = mine.deliver([electricity(1, mine.uscc, **{"C2.01.02": MARKED})]).batch
    foreign = other.deliver([case_filed(1, other.uscc, MARKED)]).batch
    _second_key(mine.uscc)
    return {"mine": mine.uscc, "other": other.uscc, "newer": int(newer), "foreign": int(foreign)}


def _second_key(uscc: str) -> None:
    """A second version of an enterprise's data key, so that a folio can name the wrong one that exists."""
    key = keys.new_key(2)
    with db.transaction() as tx:
        tx.execute(data_key.insert().values(**vault.wrapped_row(uscc, key)))
