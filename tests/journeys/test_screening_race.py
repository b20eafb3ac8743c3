# SPDX-License-Identifier: Apache-2.0
"""Sixteen clients keep screening over two workers, while consents are revoked and granted and the index is swapped.

BUREAU_TEST_RACE_S says for how long (default: a moment).
"""

import os
import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from access import clients
from bureau.screening import index
from consent import consents
from kernel import db
from tests.conftest import House
from tests.factories import COUNTER, bank, consent, deliver, new_uscc, registration
from tests.journeys import cast, service
from tests.journeys.service import Service

CLIENTS, ENTERPRISES = 16, 40
SECONDS = float(os.environ.get("BUREAU_TEST_RACE_S", "1.5"))
GIVE_UP_S = 60
OLD = {"indicator": "BASIC.AGE_YEARS", "gte": 1}


class Seen(NamedTuple):
    """A page, or a whole screening page by page: when it was asked for and when it had come, whom it showed."""

    sent_at: float
    came_at: float
    usccs: frozenset[str]
    total: int | None  # None: of several pages, each as of its own moment


class Away(NamedTuple):
    """From when an enterprise had its revocation acknowledged until it began to grant anew."""

    uscc: str
    since: float
    until: float


@pytest.fixture
def enterprises(open_house: House) -> list[str]:
    usccs = sorted(new_uscc() for _ in range(ENTERPRISES))
    deliver([registration(n, uscc, **{"C1.01.10": "2020-05-06"}) for n, uscc in enumerate(usccs, 1)])
    index.build()
    return usccs


@pytest.fixture
def served(open_house: House, enterprises: list[str], tmp_path: Path) -> Iterator[Service]:
    with service.served(open_house.environment, tmp_path / "service.log") as running:
        yield running


def test_no_page_shows_whom_had_revoked_before_it_was_asked_for(
    open_house: House, served: Service, enterprises: list[str]
) -> None:
    institution = bank()
    held = {uscc: consent(uscc, institution) for uscc in enterprises}
    with db.transaction() as tx:
        registered = [
            cast.Bank(
                institution,
                "",
                *clients.add(tx, institution, ("screening:search",), per_second=1_000_000),
            )
            for _ in range(CLIENTS)
        ]
    bearers = [cast.token(served, each) for each in registered]
    enough = threading.Event()

    def keep_screening(number: int) -> list[Seen]:
        seen: list[Seen] = []
        while not enough.is_set() and len(seen) < 250:
            for page_size in (ENTERPRISES, 15):
                sent_at, found, body = time.monotonic(), [], {"where": {"all": [OLD]}, "limit": page_size}
                page: dict[str, Any] = {}
                while body:
                    one_at = time.monotonic()
                    reply = screened(served, bearers[number], body)
                    if reply.status == 410:  # the index went on twice since this cursor was given
                        break
                    page = reply.json
                    shown = frozenset(each["uscc"] for each in page["enterprises"])
                    whole = page_size == ENTERPRISES
                    seen.append(Seen(one_at, time.monotonic(), shown, page["total"] if whole else None))
                    found += shown
                    body = {"cursor": page["next_cursor"]} if page["next_cursor"] else {}
                assert len(found) == len(set(found)), "one enterprise twice in one screening"
                assert sent_at <= time.monotonic()
        return seen

    away: list[Away] = []
    built: list[int] = []

    def keep_changing() -> None:
        chance = random.Random(20261125)
        while not enough.is_set():
            uscc = chance.choice(enterprises)
            with db.transaction() as tx:
                consents.revoke(tx, held[uscc], COUNTER)
            since = time.monotonic()
            time.sleep(chance.choice([0, 0.02, 0.1]))
            away.append(Away(uscc, since, time.monotonic()))
            held[uscc] = consent(uscc, institution)

    def keep_building() -> None:
        while not enough.is_set():
            built.append(index.build())
            time.sleep(0.2)

    with ThreadPoolExecutor(CLIENTS + 2) as threads:
        screening = [threads.submit(keep_screening, number) for number in range(CLIENTS)]
        changing = [threads.submit(keep_changing), threads.submit(keep_building)]
        time.sleep(SECONDS)
        raced = service.wait_until(lambda: len(away) >= 3 and len(built) >= 2, GIVE_UP_S)
        enough.set()
        seen = [one for each in screening for one in each.result()]
        for each in changing:
            each.result()

    shown_while_away = [
        (one, gone)
        for one in seen
        for gone in away
        if gone.uscc in one.usccs and gone.since <= one.sent_at and one.came_at <= gone.until
    ]
    assert shown_while_away == []
    assert all(one.total == len(one.usccs) for one in seen if one.total is not None)
    assert raced
    assert len(seen) >= CLIENTS
    hidden = [one for one in seen if one.total is not None and one.total < ENTERPRISES]
    assert hidden, "nobody was ever seen to be away: the race did not race"


def screened(served: Service, bearer: str, body: dict[str, Any]) -> service.Reply:
    key = f"race-{time.monotonic_ns()}-{threading.get_ident()}"
    headers = {"Authorization": f"Bearer {bearer}", "Idempotency_Key": key}
    reply = served.call("POST", "/v1/screenings", {**body, "operator": "OP-00042"}, **headers)
    assert reply.status in (200, 410), reply
    return reply
