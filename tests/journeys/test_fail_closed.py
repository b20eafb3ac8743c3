# SPDX-License-Identifier: Apache-2.0
"""What callers and the operator see where a promise of the trail is not kept: docs/fail-closed.md, row by row."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text

from audit import sealing, watch, witnessing
from kernel import clock, db
from tests import factories
from tests.audit.test_sealing import ORIGIN, append
from tests.audit.test_witnessing import Three, three
from tests.conftest import House
from tests.journeys import service
from tests.journeys.service import free_port
from tests.journeys.test_unwritable_trail import BREAK, MEND, execute
from tests.journeys.witnesses import back_up

__all__ = ["three"]
NAME = "苏州演示精密机械有限公司"
ALL = {"database": True, "entries": True, "sealing": True, "witnesses": True}


@dataclass
class Asking:
    """A bank that may ask about a firm, in a process that watches the trail as a worker does."""

    client: FlaskClient
    bearer: str
    uscc: str

    def ask(self) -> Any:
        return factories.ask(self.client, self.bearer, self.uscc)

    def ready(self) -> tuple[int, dict[str, bool]]:
        answer = self.client.get("/readyz")
        return answer.status_code, {each["name"]: each["kept"] for each in answer.json["conditions"]}

    def assert_stopped(self, because: str) -> None:
        refused = self.ask()
        assert (refused.status_code, refused.json["type"].rpartition("/")[2]) == (503, "audit-unavailable")
        assert refused.headers["Retry-After"]
        assert NAME.encode() not in refused.data
        assert self.ready() == (503, {**ALL, because: False})

    def assert_answered(self) -> None:
        assert NAME in self.ask().get_data(as_text=True)
        assert self.ready() == (200, ALL)


@pytest.fixture
def asking(house: House, client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> Iterator[Asking]:
    uscc, bank = factories.new_uscc(), factories.bank()
    factories.deliver([factories.registration(1, uscc, NAME)])
    factories.consent(uscc, bank)
    monkeypatch.setattr(watch, "LOOK_EVERY_S", 0)
    watch.begin(clock.now())
    yield Asking(client, factories.token(bank, life=timedelta(days=1)), uscc)
    watch.begin(None)


def later(monkeypatch: pytest.MonkeyPatch, by: timedelta) -> None:
    now = clock.now() + by
    monkeypatch.setattr(clock, "now", lambda: now)


def test_no_entry_no_answer(house: House, asking: Asking) -> None:
    asking.assert_answered()
    execute(*BREAK[house.engine])
    asking.assert_stopped("entries")
    execute(MEND[house.engine])
    asking.assert_answered()


def test_entries_that_wait_for_more_than_a_minute_stop_the_questions(
    asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    later(monkeypatch, timedelta(seconds=59))
    asking.assert_answered()
    later(monkeypatch, timedelta(seconds=30))
    asking.assert_stopped("sealing")
    sealing.seal(ORIGIN)
    asking.assert_answered()


def test_without_a_quorum_for_four_hours_questions_stop(
    asking: Asking, three: Three, monkeypatch: pytest.MonkeyPatch
) -> None:
    sealing.seal(ORIGIN)
    asking.assert_stopped("witnesses")
    witnessing.hold_round(ORIGIN, three)
    asking.assert_answered()
    sealing.seal(ORIGIN)
    later(monkeypatch, timedelta(hours=3, minutes=59))
    asking.assert_answered()
    sealing.seal(ORIGIN)
    three.kill("w1", "w2")
    later(monkeypatch, timedelta(minutes=2))
    witnessing.hold_round(ORIGIN, three)
    asking.assert_stopped("witnesses")
    three.wake()
    later(monkeypatch, timedelta(seconds=1))
    witnessing.hold_round(ORIGIN, three)
    asking.assert_answered()


def test_a_database_that_is_behind_the_published_log_is_not_served(
    open_house: House, tmp_path: Any, pytestconfig: pytest.Config
) -> None:
    environment = {**open_house.environment, "BUREAU_PUBLIC_URL": "https://bureau.example"}
    append(5)
    assert service.run(environment, "seal").returncode == 0
    backup = back_up(open_house, tmp_path, pytestconfig)
    append(3)
    assert service.run(environment, "seal").returncode == 0
    refused = service.run(environment | {"BUREAU_DATABASE_URL": backup}, "serve", "--port", str(free_port()))
    assert refused.returncode == 2
    assert "published up to 8 entries and the database has 5: it was restored from a backup" in refused.stderr


def test_the_probe_of_the_trail_leaves_nothing_behind(house: House, client: FlaskClient) -> None:
    with db.reading() as reading:
        before = reading.execute(text("SELECT count(*) FROM entry")).scalar()
    assert client.get("/readyz").status_code == 200
    with db.reading() as reading:
        assert reading.execute(text("SELECT count(*) FROM entry")).scalar() == before
        assert reading.execute(text("SELECT count(*) FROM unsealed")).scalar() == before
