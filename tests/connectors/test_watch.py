# SPDX-License-Identifier: Apache-2.0
"""Feeds on schedule: pulled when due, rested after failures, and alarms that stand while their cause does."""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select, update

from connectors import feeds, pulling, spool, watch
from connectors.models import feed_alarm, feed_state
from kernel import clock, db
from tests.bureau.histories import entries
from tests.conftest import House
from tests.connectors import servers
from tests.connectors.servers import Origin
from tests.connectors.test_pulling import REGISTER, csv, reveal
from tests.connectors.test_pushes import bearer
from tests.factories import deliver, new_uscc, person, registration, session
from tests.journeys.service import run


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Origin]:
    with servers.origin(tmp_path_factory.mktemp("origin")) as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    own = tmp_path / "feeds"
    own.mkdir()
    monkeypatch.setattr(feeds, "_folder", own)
    monkeypatch.setattr(feeds, "SHIPPED", own)
    monkeypatch.setattr(spool, "_folder", None)
    return own


def write(folder: Path, more: str) -> feeds.Feed:
    toml = REGISTER.replace('feed = "market-regulation-register"', 'feed = "watched"')
    toml = toml.replace("[limits]", f"{more}\n[limits]", 1)
    (folder / "watched.toml").write_text(toml, encoding="utf-8")
    return feeds.load("watched")


def pulled_daily(folder: Path, origin: Origin, path: str = "/file") -> feeds.Feed:
    transport = f'kind = "https"\nurl = "{origin.url}{path}"\nca = "{origin.ca}"\ntoken_url = "{origin.url}/token"\n'
    transport += 'client_id = "client"\nclient_secret = "env:SECRET"\n'
    return write(folder, f'schedule = "daily 02:30"\n[transport]\n{transport}')


def is_due(at: datetime | None = None) -> None:
    with db.transaction() as tx:
        tx.execute(update(feed_state).values(due_at=at or clock.now() - timedelta(seconds=1)))


def state() -> Any:
    with db.reading() as reading:
        return reading.execute(select(feed_state)).one()


def alarms() -> set[str]:
    with db.reading() as reading:
        return set(reading.scalars(select(feed_alarm.c.kind).where(feed_alarm.c.until.is_(None))))


def test_a_scheduled_feed_is_pulled_when_it_is_due_and_not_before(house: House, folder: Path, origin: Origin) -> None:
    (origin.folder / "file").write_text(csv(2))
    pulled_daily(folder, origin)
    assert pulling.pull_due(reveal) == 0
    assert state().due_at > clock.now()
    is_due()
    assert pulling.pull_due(reveal) == 1
    assert (state().failures, state().lease_until, state().due_at > clock.now()) == (0, None, True)
    (entry,) = entries("batch.received")
    assert entry["channel"] == "worker"


def test_a_feed_that_fails_rests_longer_each_time_then_counts_as_dead_until_it_comes(
    house: House, folder: Path, origin: Origin
) -> None:
    (origin.folder / "file").write_text(csv())
    pulled_daily(folder, origin, "/gone")
    pulling.pull_due(reveal)
    for failures in range(1, watch.DEAD_AFTER + 1):
        is_due()
        pulling.pull_due(reveal)
        rest = min(timedelta(minutes=2 ** (failures - 1)), timedelta(hours=6))
        assert state().failures == failures
        assert state().due_at <= clock.now() + rest
        assert ("dead" in alarms()) is (failures == watch.DEAD_AFTER)
    assert state().problem == "127.0.0.1: answered 404"
    pulled_daily(folder, origin)
    is_due()
    assert pulling.pull_due(reveal) == 1
    assert alarms() == set()
    assert [entry["detail"]["kind"] for entry in (*entries("feed.alarmed"), *entries("feed.recovered"))] == ["dead"] * 2


def test_a_late_feed_raises_one_alarm_until_a_delivery_comes(house: House, folder: Path) -> None:
    feed = write(folder, '[expected]\nrhythm = "weekly"\ngrace_days = 1')
    deliver([registration(1, new_uscc())], feed="watched")
    now = clock.now()
    for days, standing in ((7, set()), (9, {"late"}), (10, {"late"})):
        watch.look_after(feed, now + timedelta(days=days))
        assert alarms() == standing
    deliver([registration(1, new_uscc())], feed="watched")
    watch.look_after(feed, now)
    assert alarms() == set()
    assert len(entries("feed.alarmed")) == len(entries("feed.recovered")) == 1


def test_a_shrunken_delivery_is_told_with_its_history(house: House, folder: Path) -> None:
    feed = write(folder, '[expected]\nrhythm = "weekly"\ngrace_days = 1')
    for count in (10, 12, 4):
        deliver([registration(n, new_uscc()) for n in range(1, count + 1)], feed="watched")
    watch.look_after(feed, clock.now())
    assert alarms() == {"shrunk"}
    (entry,) = entries("feed.alarmed")
    assert entry["detail"]["why"] == "4 rows, before it 12, 10"


def test_the_source_and_administrators_see_how_its_feeds_are_and_others_do_not(
    house: House, folder: Path, client: FlaskClient
) -> None:
    write(folder, '[expected]\nrhythm = "weekly"\ngrace_days = 1')
    receipt = deliver([registration(1, new_uscc())], feed="watched")
    admin = {"Authorization": f"Bearer {session(person('admin')[0], {'admin'})}"}
    for headers in (bearer("S01"), admin):
        (shown,) = client.get("/v1/sources/S01/feeds", headers=headers).json["feeds"]
        assert (shown["feed"], shown["state"], shown["last"]["batch"]) == ("watched", "ok", receipt.batch)
    assert client.get("/v1/sources/S01/feeds", headers=bearer("S04")).status_code == 403
    assert client.get("/v1/sources/S99/feeds", headers=admin).status_code == 404
    assert client.get("/v1/sources/S04/feeds", headers=admin).json == {"feeds": []}


def test_the_command_tells_the_same_of_all_feeds_a_broken_one_included(open_house: House) -> None:
    own = open_house.own / "feeds"
    own.mkdir()
    write_own = REGISTER.replace('feed = "market-regulation-register"', 'feed = "watched"')
    (own / "watched.toml").write_text(write_own, encoding="utf-8")
    (own / "broken.toml").write_text("feed = 1", encoding="utf-8")
    told = run(open_house.environment, "feed", "status", "--json")
    assert told.returncode == 0, told.stderr
    shown = {one["feed"]: one for one in json.loads(told.stdout)}
    assert (shown["watched"]["state"], shown["broken"]["state"]) == ("ok", "broken")
    assert shown["broken"]["problem"] == "broken.toml: feed: expected a text, found 1"
