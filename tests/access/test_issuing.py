# SPDX-License-Identifier: Apache-2.0
"""The statement that keeps tokens together: what it compares, what it waits for, how it finds its clients."""

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import func, insert, select, text, update

from access import clients, issuing, signing_clients, spent
from access.client_keys import MOST_KEYS, Keys
from access.models import client, client_key, institution
from access.models import spent as uses
from kernel import clock, db, ids
from tests.access.signing import es256
from tests.access.test_short_way import granted, remembered
from tests.bureau.threads import at_once
from tests.conftest import House

ODD = [
    "",
    " ",
    "\\x00ff",
    "\"\\u0041'",
    "\u2028\x01\x7f",
    "e\u0301é\U0010ffff",
    "null",
    "0010",
    "%s %(x)s :x",
    "密" * 80,
]


@pytest.mark.parametrize("odd", ODD)
def test_odd_text_and_odd_times_are_compared_to_the_last_character(house: House, odd: str) -> None:
    client_id = remembered(es256())
    ends = datetime(9999, 12, 31, 23, 59, 59, 999_999, UTC)
    with db.transaction() as tx:
        this, its = client.c.id == client_id, client_key.c.client == client_id
        tx.execute(update(client).where(this).values(scopes=odd, algorithms=odd[:80], per_second=0, created_at=ends))
        tx.execute(update(client_key).where(its).values(kid=odd, jwk=odd + "jwk", expires_at=ends))
        tx.execute(update(institution).values(networks=odd))
    with db.reading() as reading:
        signing_clients.find(reading, client_id)
    good = granted(client_id, b"0", "good")
    others: dict[str, Any] = {
        **{f"seen_{name}": odd + "." for name in ("scopes", "kid", "jwk", "networks")},
        "seen_algorithms": None,
        "seen_per_second": None,
        "seen_dpop_bound": None,
        "seen_stopped": "all",
        "seen_created_at": ends - timedelta(microseconds=1),
        "seen_expires_at": ends - timedelta(microseconds=1),
    }
    wrong = [granted(client_id, b"%d" % number, str(number)) for number in range(1, len(others) + 1)]
    changed = [
        one._replace(seen={**one.seen, name: other})
        for one, (name, other) in zip(wrong, others.items(), strict=True)
        if one.seen[name] != other
    ]
    assert len(changed) == len(others)
    assert issuing.store_all_as_seen([*changed, good]) == [False] * len(others) + [True]


@pytest.mark.parametrize("open_house", ["postgresql"], indirect=True)  # on SQLite one writes at a time
def test_a_rotation_under_way_holds_no_token_up(open_house: House) -> None:
    client_id, other = remembered(es256()), remembered(es256())
    with db.transaction() as tx:
        clients.rotate_keys(tx, client_id, Keys(es256().jwks))
        assert issuing.store_all_as_seen([granted(client_id, b"1", "one"), granted(other, b"2", "two")]) == [True, True]
    assert issuing.store_all_as_seen([granted(client_id, b"3", "after it"), granted(other, b"4", "four")]) == [
        False,
        True,
    ]


def test_rotations_of_a_client_still_queue(open_house: House) -> None:
    client_id = remembered(es256())

    def rotate(signer: Any) -> None:
        with db.transaction() as tx:
            clients.rotate_keys(tx, client_id, Keys(signer.jwks))

    outcomes = at_once([partial(rotate, es256()) for _ in range(12)])
    with db.reading() as reading:
        live = reading.scalar(select(func.count()).select_from(client_key).where(client_key.c.client == client_id))
    assert live == MOST_KEYS  # the one before, and nine more
    assert sum(each is None for each in outcomes) == MOST_KEYS - 1


@pytest.mark.parametrize("open_house", ["postgresql"], indirect=True)  # on SQLite it is one client at a time
def test_clients_are_found_by_their_index_however_many_there_are(open_house: House) -> None:
    client_id = remembered(es256())
    with db.transaction() as tx:
        like = dict(tx.execute(select(client).where(client.c.id == client_id)).one()._mapping)
        tx.execute(insert(client), [{**like, "id": ids.new_id()} for _ in range(1_500)])
    with db.single_write() as tx:
        statement = issuing._STORING_AS_SEEN._get_ready(tx.dialect)
        tx.execute(text("ANALYZE client"))
        values = {**statement.constants, "granted": "[]"}
        cursor: Any = tx.connection.driver_connection.cursor()  # type: ignore[union-attr]
        plan = "\n".join(row[0] for row in cursor.execute(f"EXPLAIN {statement.text}", values))
    assert "Index Scan using pk_client on client" in plan
    assert "Seq Scan on client" not in plan


def test_a_use_is_remembered_a_little_longer_than_it_could_come_back(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    client_id = remembered(es256())
    asked = granted(client_id, b"1", "one"), granted(client_id, b"1", "judged with it, and slow")
    assert issuing.store_all_as_seen(asked[:1]) == [True]
    late = clock.now() + timedelta(seconds=40)
    monkeypatch.setattr(clock, "now", lambda: late)
    with db.transaction() as tx:
        assert spent.tidy(tx) == 0
    assert issuing.store_all_as_seen(asked[1:]) == [False]
    much_later = late + timedelta(minutes=1)
    monkeypatch.setattr(clock, "now", lambda: much_later)
    with db.transaction() as tx:
        assert spent.tidy(tx) == 1
        assert tx.scalar(select(func.count()).select_from(uses)) == 0
