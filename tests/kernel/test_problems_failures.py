# SPDX-License-Identifier: Apache-2.0
"""When the bureau itself fails: the caller learns that it did and nothing else, and so does the log."""

import io
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NoReturn

import pytest
import structlog
from flask import Flask
from sqlalchemy import Engine, create_engine, text

from app import logs
from app.application import create_app
from audit import trail
from audit.events import Event
from kernel import db, keys
from kernel.errors import Unavailable
from kernel.keys import Altered
from tests import factories
from tests.conftest import PUBLIC_URL, House
from tests.kernel.test_problems import CREDENTIALS, SESSIONS, assert_problem, on_one_engine

SECRET = "商业秘密-8e1f"


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], str]]:
    """All that was logged, by us or by a library, and printed."""
    printed = io.StringIO()
    monkeypatch.setattr("sys.stderr", printed)
    monkeypatch.setattr("sys.stdout", printed)
    caplog.set_level("DEBUG")
    logs.set_up("debug")
    yield lambda: printed.getvalue() + caplog.text
    structlog.reset_defaults()


@on_one_engine
def test_an_unexpected_error_is_500_without_its_text(app: Flask, told: Callable[[], str]) -> None:
    def fail() -> NoReturn:
        raise RuntimeError(SECRET)

    app.add_url_rule("/fail", view_func=fail)
    response = app.test_client().get(f"/fail?q={SECRET}", headers={"X-Request-Id": "the-one"})
    assert_problem(response, 500, "internal-error")
    assert SECRET not in response.get_data(as_text=True)
    log = told()
    assert SECRET not in log
    assert "RuntimeError" in log
    assert "test_problems_failures.py" in log
    assert '"request": "the-one"' in log


@on_one_engine
def test_a_record_that_does_not_open_is_500_and_named(app: Flask, told: Callable[[], str]) -> None:
    def fail() -> bytes:
        return keys.new_key().decrypt(SECRET.encode() * 9, b"")

    app.add_url_rule("/fail", view_func=fail)
    assert_problem(app.test_client().get("/fail"), 500, Altered.slug)
    assert Altered.slug in told()


def test_a_database_that_fails_is_503_and_shows_neither_statement_nor_parameters(
    house: House, tmp_path: Path, told: Callable[[], str]
) -> None:
    client, working = create_app(PUBLIC_URL).test_client(), db.current()
    broken = _without_tables(house, tmp_path)
    db.use(broken)
    try:
        asked = factories.ask(client, SECRET.encode().hex(), factories.new_uscc(), operator=SECRET)
        signed = client.post(SESSIONS, json={"username": SECRET, "password": SECRET})
        token = client.post("/oauth/token", data={"grant_type": "client_credentials"}, auth=("no-one", SECRET))
    finally:
        db.use(working)
        broken.dispose()
    log = told()
    for response in (asked, signed, token):
        assert_problem(response, 503, "unavailable")
        assert response.headers["Retry-After"] == "2"
        for shown in (response.get_data(as_text=True), log):
            for hidden in (SECRET, "SELECT", "person", "no-one", SECRET.encode().hex()):
                assert hidden not in shown
    assert log.count("database failed") == 3


def test_a_database_that_cannot_be_reached_is_503(house: House, tmp_path: Path) -> None:
    client, working = create_app(PUBLIC_URL).test_client(), db.current()
    nowhere = {
        "sqlite": f"sqlite:///{tmp_path}/absent/x.db",
        "postgresql": f"postgresql:///x?host={tmp_path}",
    }
    broken = db.open_engine(nowhere[house.engine])
    db.use(broken)
    try:
        assert_problem(client.get("/readyz"), 503, "unavailable")
        assert_problem(client.post(SESSIONS, json=CREDENTIALS), 503, "unavailable")
        assert client.get("/healthz").status_code == 200
        with pytest.raises(Unavailable) as refused, trail.recording():
            pass
        assert refused.value.slug == "audit-unavailable"
    finally:
        db.use(working)


def test_when_no_connection_comes_free_the_answer_is_503(open_house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    client, engine = create_app(PUBLIC_URL).test_client(), db.current()
    assert isinstance(engine, Engine)
    with db.reading() as reading:
        monkeypatch.setattr(reading.engine.pool, "_timeout", 0.05)
    monkeypatch.setattr(engine.pool, "_timeout", 0.05)
    with ExitStack() as held:
        if open_house.engine == "postgresql":  # its single statements have connections of their own
            for _ in range(db.POOL_SIZE):
                held.enter_context(db.reading())
        for _ in range(db.POOL_SIZE):
            held.enter_context(engine.connect())
        assert_problem(client.get("/readyz"), 503, "unavailable")
        with pytest.raises(Unavailable), trail.recording():
            pass
    assert client.get("/readyz").status_code == 200


@pytest.mark.parametrize("open_house", ["postgresql"], indirect=True)
def test_after_the_server_closed_all_connections_the_bureau_finds_its_way_back(open_house: House) -> None:
    client = create_app(PUBLIC_URL).test_client()
    assert client.get("/readyz").status_code == 200
    outside = create_engine(open_house.url)
    with outside.begin() as connection:
        others = "pid <> pg_backend_pid() AND datname = current_database()"
        connection.execute(text(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}"))
    outside.dispose()
    first = client.get("/readyz")
    assert first.status_code in (200, 503)
    assert client.get("/readyz").status_code == 200


def test_an_entry_that_the_database_refuses_undoes_what_it_told_of(house: House) -> None:
    with db.transaction() as tx:
        for statement in _REFUSE_ENTRIES[house.engine]:
            tx.execute(text(statement))

    def write() -> None:
        with trail.recording() as tx:
            tx.execute(text("INSERT INTO unsealed (entry) VALUES ('beside')"))
            trail.append(tx, trail.Entry(type=Event.PERSON_ADDED, actor="counter"))

    with pytest.raises(Unavailable) as refused:
        write()
    assert refused.value.slug == "audit-unavailable"
    with db.reading() as reading:
        assert reading.scalar(text("SELECT count(*) FROM unsealed WHERE entry = 'beside'")) == 0


_REFUSE_ENTRIES = {
    "sqlite": ["CREATE TRIGGER full BEFORE INSERT ON entry BEGIN SELECT RAISE(ABORT, 'disk full'); END"],
    "postgresql": [
        "CREATE FUNCTION fill() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'disk full'; END $$",
        "CREATE TRIGGER full_disk BEFORE INSERT ON entry FOR EACH ROW EXECUTE FUNCTION fill()",
    ],
}


def _without_tables(house: House, folder: Path) -> Engine:
    """A database of the same engine that answers every question with an error."""
    if house.engine == "sqlite":
        return db.open_engine(f"sqlite:///{folder / 'empty.db'}")
    return create_engine(house.url, connect_args={"options": "-c search_path=nowhere"})
