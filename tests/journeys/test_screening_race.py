# SPDX-License-Identifier: Apache-2.0
"""Sixteen clients keep screening over two workers, while consents are revoked and granted and the index is swapped.

BUREAU_TEST_RACE_S says for how long (default: a moment). BUREAU_SCREENINGS_PER_DAY is set so that no budget ends it.
"""

import os
import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
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
TOKEN_S = 200  # of the 300 that one lives
BUSY_TRIES = 5
AWAY_S = (0, 0.05, 0.2, 1)
SCOPES = ("screening:search",)
BUDGET = {"BUREAU_SCREENINGS_PER_DAY": "1000000"}
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
    with service.served({**open_house.environment, **BUDGET}, tmp_path / "service.log") as running:
        yield running


@dataclass
class Race:
    """One institution's clients, its enterprises, and what happened."""

    served: Service
    enterprises: list[str]
    institution: str = field(default_factory=bank)
    enough: threading.Event = field(default_factory=threading.Event)
    away: list[Away] = field(default_factory=list)
    built: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.held = {uscc: consent(uscc, self.institution) for uscc in self.enterprises}
        with db.transaction() as tx:
            self.clients = [
                cast.Bank(self.institution, "", *clients.add(tx, self.institution, SCOPES, per_second=1_000_000))
                for _ in range(CLIENTS)
            ]

    def keep_screening(self, client: cast.Bank) -> list[Seen]:
        """The same screening, in one page and in several."""
        seen: list[Seen] = []
        bearer, got_at = cast.token(self.served, client), time.monotonic()
        while not self.enough.is_set():
            if time.monotonic() - got_at > TOKEN_S:
                bearer, got_at = cast.token(self.served, client), time.monotonic()
            for page_size in (ENTERPRISES, 15):
                pages = self.pages(bearer, page_size)
                found = [uscc for page in pages for uscc in page.usccs]
                assert len(found) == len(set(found)), "one enterprise twice in one screening"
                seen += pages
        return seen

    def pages(self, bearer: str, page_size: int) -> list[Seen]:
        seen: list[Seen] = []
        body: dict[str, Any] = {"where": {"all": [OLD]}, "limit": page_size}
        while body:
            sent_at = time.monotonic()
            reply = screened(self.served, bearer, body)
            if reply.status == 410:  # the index went on twice since this cursor was given
                break
            shown = frozenset(each["uscc"] for each in reply.json["enterprises"])
            total = reply.json["total"] if page_size == ENTERPRISES else None
            seen.append(Seen(sent_at, time.monotonic(), shown, total))
            body = {"cursor": cursor} if (cursor := reply.json["next_cursor"]) else {}
        return seen

    def keep_changing(self) -> None:
        """Revoke, wait, and grant anew."""
        chance = random.Random(20261125)
        while not self.enough.is_set():
            uscc = chance.choice(self.enterprises)
            with db.transaction() as tx:
                consents.revoke(tx, self.held[uscc], COUNTER)
            since = time.monotonic()
            time.sleep(chance.choice(AWAY_S))
            self.away.append(Away(uscc, since, time.monotonic()))
            self.held[uscc] = consent(uscc, self.institution)

    def keep_building(self) -> None:
        while not self.enough.is_set():
            self.built.append(index.build())
            time.sleep(0.2)

    def is_on(self) -> bool:
        return len(self.away) >= 3 and len(self.built) >= 2


def test_no_page_shows_whom_had_revoked_before_it_was_asked_for(served: Service, enterprises: list[str]) -> None:
    race = Race(served, enterprises)
    with ThreadPoolExecutor(CLIENTS + 2) as threads:
        screening = [threads.submit(race.keep_screening, each) for each in race.clients]
        changing = [threads.submit(each) for each in (race.keep_changing, race.keep_building)]
        time.sleep(SECONDS)
        raced = service.wait_until(race.is_on, GIVE_UP_S)
        race.enough.set()
        seen = [one for each in screening for one in each.result()]
        for each in changing:
            each.result()
    assert raced
    assert len(seen) >= CLIENTS
    during = [
        (one, gone) for gone in race.away for one in seen if gone.since <= one.sent_at and one.came_at <= gone.until
    ]
    assert during, "no page was asked for while somebody was away: the race did not race"
    assert [(one, gone) for one, gone in during if gone.uscc in one.usccs] == []
    whole = [one for one in seen if one.total is not None]
    assert all(one.total == len(one.usccs) for one in whole)
    assert any(len(one.usccs) < ENTERPRISES for one in whole)


def screened(served: Service, bearer: str, body: dict[str, Any]) -> service.Reply:
    key = f"race-{time.monotonic_ns()}-{threading.get_ident()}"
    headers = {"Authorization": f"Bearer {bearer}", "Idempotency_Key": key}
    for _ in range(BUSY_TRIES):
        reply = served.call("POST", "/v1/screenings", {**body, "operator": "OP-00042"}, **headers)
        if reply.status != 503:  # SQLite has one writer: who waits for it too long is told to come again
            break
        time.sleep(float(reply.headers["retry-after"]))
    assert reply.status in (200, 410), reply
    return reply
