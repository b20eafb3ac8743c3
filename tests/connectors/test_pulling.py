# SPDX-License-Identifier: Apache-2.0
"""Feeds pulled from real servers: OpenSSH's sshd, HTTPS with OAuth2, front-end databases on both engines."""

import json
import os
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import (
    Column,
    DateTime,
    Integer,
    MetaData,
    Numeric,
    String,
    Table,
    create_engine,
    insert,
    select,
    update,
)

from bureau import intake
from bureau.open_batches import Receipt
from connectors import feeds, https, memory, pulling, spool
from connectors.models import feed_state, pulled_file
from kernel import clock, db
from kernel.errors import Conflict, Invalid, SettingError, TooLarge, Unavailable
from tests import postgres
from tests.bureau.histories import entries
from tests.conftest import House, made
from tests.connectors import servers
from tests.connectors.servers import Origin, Sshd
from tests.factories import new_uscc

REGISTER = (feeds.SHIPPED / "market-regulation-register.toml").read_text(encoding="utf-8")
HEADER = "企业名称,统一社会信用代码,注册日期,企业类型,注册资金,经营范围,所在省份,地区\n"


@pytest.fixture(autouse=True)
def own_spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = made(tmp_path / "spool")
    monkeypatch.setattr(spool, "_folder", folder)
    yield folder
    assert list(folder.iterdir()) == [], "something was left in the spool"


def feed(folder: Path, transport: str, **changed: str) -> feeds.Feed:
    toml = REGISTER.replace('feed = "market-regulation-register"', 'feed = "pulled"')
    for name, told in changed.items():
        toml = toml.replace(f'{name} = "{ {"format": "csv"}[name] }"', f'{name} = "{told}"')
    (folder / "pulled.toml").write_text(toml + f"\n[transport]\n{transport}\n", encoding="utf-8")
    return feeds.load(folder / "pulled.toml")


def reveal(reference: str) -> str:
    kind, _, place = reference.partition(":")
    return Path(place).read_text() if kind == "file" else {"SECRET": "secret"}.get(place, place)


def pull(of: feeds.Feed) -> list[Receipt]:
    return pulling.pull_now(of, reveal)


def csv(count: int = 1, name: str = "演示公司") -> str:
    return HEADER + "".join(
        f"{name},{new_uscc()},2019-05-06,有限责任公司,200(万),机械,江苏,苏州\n" for _ in range(count)
    )


def by_sftp(folder: Path, drop: Sshd, **changed: Any) -> feeds.Feed:
    told: dict[str, Any] = {
        "kind": "sftp", "host": "127.0.0.1", "port": drop.port, "user": drop.user, "files": 10,
        "private_key": f"file:{drop.key}", "host_key": drop.host_key, "folder": str(drop.folder), "pattern": "*.csv",
        "settled_s": 0, **changed,
    }  # fmt: skip
    return feed(folder, "\n".join(f"{name} = {json.dumps(value)}" for name, value in told.items()))


@pytest.fixture
def dropped(drop: Sshd) -> Iterator[Path]:
    yield drop.folder
    for file in drop.folder.iterdir():
        file.unlink()


def test_dropped_files_are_taken_once_the_oldest_first_and_stay(
    house: House, tmp_path: Path, drop: Sshd, dropped: Path
) -> None:
    for number, name in enumerate(("b.csv", "a.csv", "other.txt")):
        (dropped / name).write_text(csv(number + 1))
        os.utime(dropped / name, (1_000_000 + number, 1_000_000 + number))
    of = by_sftp(tmp_path, drop)
    assert [receipt.rows for receipt in pull(of)] == [1, 2]
    assert pull(of) == []
    assert {file.name for file in dropped.iterdir()} == {"a.csv", "b.csv", "other.txt"}
    (dropped / "a.csv").write_text(csv(3))
    assert [receipt.rows for receipt in pull(of)] == [3]
    (dropped / "again.csv").write_bytes((dropped / "a.csv").read_bytes())
    assert [(receipt.rows, receipt.duplicate) for receipt in pull(of)] == [(3, True)]
    assert len(entries("batch.received")) == 3


def test_a_file_is_left_alone_until_it_is_whole(house: House, tmp_path: Path, drop: Sshd, dropped: Path) -> None:
    (dropped / "a.csv").write_text(csv())
    assert pull(by_sftp(tmp_path, drop, settled_s=3600)) == []
    marked = by_sftp(tmp_path, drop, done=".done")
    assert pull(marked) == []
    (dropped / "a.csv.done").touch()
    assert len(pull(marked)) == 1


def test_a_feed_that_says_so_deletes_what_it_has_taken_and_nothing_else(
    house: House, tmp_path: Path, drop: Sshd, dropped: Path
) -> None:
    (dropped / "a.csv").write_text(csv())
    (dropped / "broken.csv").write_text("no register\n")
    (receipt,) = pull(by_sftp(tmp_path, drop, delete=True))
    assert receipt.rows == 1
    assert {file.name for file in dropped.iterdir()} == {"broken.csv"}
    with db.reading() as reading:
        problem = reading.scalar(select(pulled_file.c.problem).where(pulled_file.c.name == "broken.csv"))
    assert problem is not None
    assert problem.startswith("broken.csv, header: no column 统一社会信用代码; the first row must name")
    assert pull(by_sftp(tmp_path, drop)) == []


def test_links_and_files_above_the_limit_are_not_followed(
    house: House, tmp_path: Path, drop: Sshd, dropped: Path
) -> None:
    (dropped / "link.csv").symlink_to("/etc/passwd")
    assert pull(by_sftp(tmp_path, drop)) == []
    small = by_sftp(tmp_path, drop)
    text = (tmp_path / "pulled.toml").read_text().replace("packed_bytes = 500_000_000", "packed_bytes = 50")
    (tmp_path / "pulled.toml").write_text(text)
    (dropped / "large.csv").write_text(csv())
    with pytest.raises(TooLarge, match=r"large\.csv: \d+ bytes, above the feed's 50"):
        pull(feeds.load(tmp_path / "pulled.toml"))
    assert small.feed == "pulled"


def test_a_server_with_another_key_or_a_stranger_s_key_is_refused(
    house: House, tmp_path: Path, drop: Sshd, dropped: Path
) -> None:
    other = (drop.key.parent / "stranger.pub").read_text().strip()
    with pytest.raises(Unavailable, match="another host key than the feed's"):
        pull(by_sftp(tmp_path, drop, host_key=other))
    with pytest.raises(Unavailable, match="does not accept the key of user"):
        pull(by_sftp(tmp_path, drop, private_key=f"file:{drop.key.parent / 'stranger'}"))
    with pytest.raises(SettingError, match="is no private key"):
        pull(by_sftp(tmp_path, drop, private_key=f"file:{drop.key.parent / 'config'}"))
    with pytest.raises(Unavailable, match="cannot be reached"):
        pull(by_sftp(tmp_path, drop, port=servers.free_port()))
    with db.reading() as reading:
        assert reading.scalar(select(feed_state.c.failures)) == 4


def by_https(folder: Path, origin: Origin, path: str, format_: str = "csv", **changed: Any) -> feeds.Feed:
    told: dict[str, Any] = {
        "kind": "https", "url": origin.url + path, "token_url": f"{origin.url}/token", "client_id": "client",
        "client_secret": "env:SECRET", "ca": str(origin.ca), **changed,
    }  # fmt: skip
    toml = "\n".join(f"{name} = {json.dumps(value)}" for name, value in told.items())
    return feed(folder, toml, format=format_)


@pytest.mark.parametrize("path", ["/file", "/busy", "/here"])
def test_a_file_behind_a_url_is_taken_once_until_it_changes(
    house: House, tmp_path: Path, origin: Origin, path: str
) -> None:
    (origin.folder / "file").write_text(csv(2))
    of = by_https(tmp_path, origin, path)
    assert [receipt.rows for receipt in pull(of)] == [2]
    assert pull(of) == []
    (origin.folder / "file").write_text(csv(3))
    assert [receipt.rows for receipt in pull(of)] == [3]


@pytest.mark.parametrize(
    ("path", "paging"),
    [
        ("/pages?x=1", {"paging": "page", "parameter": "page", "rows": "data", "pages": 9}),
        ("/cursor", {"paging": "cursor", "parameter": "after", "member": "next", "rows": "data", "pages": 9}),
        ("/linked", {"paging": "link", "pages": 9}),
    ],
)
def test_pages_of_rows_are_one_delivery(
    house: House, tmp_path: Path, origin: Origin, path: str, paging: dict[str, Any]
) -> None:
    rows = [{"企业名称": "演示公司", "统一社会信用代码": new_uscc(), "注册资金": "1.10万元"} for _ in range(5)]
    (origin.folder / "rows.json").write_text(json.dumps(rows))
    (receipt,) = pull(by_https(tmp_path, origin, path, "jsonl", **paging))
    assert (receipt.rows, receipt.accepted) == (5, 5)
    with pytest.raises(TooLarge, match="more than 1 pages"):
        pull(by_https(tmp_path, origin, path, "jsonl", **{**paging, "pages": 1}))


def test_what_cannot_be_had_is_said_and_nothing_is_stored(
    house: House, tmp_path: Path, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(https, "ATTEMPTS", 2)
    (origin.folder / "file").write_text(csv(50))
    for path, changed, told in (
        ("/away", {}, "leads to another origin, localhost"),
        ("/gone", {}, "answered 404"),
        ("/file", {"client_secret": "env:WRONG"}, "answered 401"),
        ("/file", {"ca": ""}, "ConnectError"),
        ("/cut", {}, "RemoteProtocolError"),
    ):
        with pytest.raises(Unavailable, match=told):
            pull(by_https(tmp_path, origin, path, **changed))
    assert entries("batch.received") == []
    with db.reading() as reading:
        assert reading.scalar(select(feed_state.c.failures)) == 5


ROWS = Table(
    "firms",
    MetaData(),
    Column("no", Integer, primary_key=True),
    Column("changed", DateTime, nullable=False),
    *(
        Column(name, String(80))
        for name in ("企业名称", "统一社会信用代码", "企业类型", "经营范围", "所在省份", "地区")
    ),
    Column("注册日期", DateTime),
    Column("注册资金", Numeric(20, 2)),
)
LONG_AGO = datetime(2026, 1, 1)  # noqa: DTZ001  # as front-end databases keep it: without a zone


@pytest.fixture(params=["sqlite", "postgresql"])
def front(request: pytest.FixtureRequest, tmp_path: Path, pytestconfig: pytest.Config) -> Iterator[tuple[str, Any]]:
    """A department's database: its address and an engine on it."""
    url = f"sqlite:///{tmp_path / 'front.db'}"
    if request.param == "postgresql":
        url = postgres.url_for(pytestconfig, "postgres")
    engine = create_engine(url)
    ROWS.metadata.create_all(engine)
    yield url, engine
    ROWS.metadata.drop_all(engine)
    engine.dispose()


def add(engine: Any, *numbers: int, at: datetime = LONG_AGO) -> None:
    with engine.begin() as tx:
        for no in numbers:
            row = {"no": no, "changed": at, "企业名称": f"演示{no}", "统一社会信用代码": new_uscc()}
            tx.execute(insert(ROWS).values({**row, "注册日期": LONG_AGO, "注册资金": None}))


def by_database(folder: Path, url: str, rows: int = 3) -> feeds.Feed:
    (folder / "address").write_text(url)
    told = {"kind": "database", "url": f"file:{folder / 'address'}", "table": "firms", "rows": rows}
    told |= {"watermark": "changed", "key": "no"}
    return feed(folder, "\n".join(f"{name} = {json.dumps(value)}" for name, value in told.items()), format="jsonl")


def test_rows_are_fetched_by_keyset_a_few_at_a_time(house: House, tmp_path: Path, front: tuple[str, Any]) -> None:
    url, engine = front
    add(engine, 5, 3, 1)
    add(engine, 2, at=datetime(2026, 1, 2))  # noqa: DTZ001
    of = by_database(tmp_path, url)
    assert [[receipt.rows for receipt in pull(of)] for _ in range(3)] == [[3], [1], []]
    add(engine, 9, at=clock.now().astimezone(clock.SHANGHAI).replace(tzinfo=None))
    assert pull(of) == [], "what was committed this minute may have neighbours to come"
    with engine.begin() as tx:
        tx.execute(update(ROWS).where(ROWS.c.no == 1).values(changed=datetime(2026, 1, 3)))  # noqa: DTZ001
    assert [receipt.rows for receipt in pull(of)] == [1]


def test_an_interrupted_pull_takes_the_same_rows_up_to_the_same_end(
    house: House, tmp_path: Path, front: tuple[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, engine = front
    add(engine, 1, 2)
    of = by_database(tmp_path, url)
    with monkeypatch.context() as patch:
        patch.setattr(intake, "_close", fail)
        with pytest.raises(Unavailable, match="the power went"):
            pull(of)
    add(engine, 3)
    (first,) = pull(of)
    (second,) = pull(of)
    assert (first.rows, second.rows) == (2, 1)
    assert len(entries("batch.received")) == 2
    with db.reading() as reading:
        assert memory.mark(reading, "pulled").keys() == {"last"}


def fail(*_: object) -> None:
    raise Unavailable("the power went")


def test_a_database_without_the_columns_is_named(house: House, tmp_path: Path, front: tuple[str, Any]) -> None:
    url, engine = front
    add(engine, 1)
    of = by_database(tmp_path, url)
    lost = tmp_path / "pulled.toml"
    lost.write_text(lost.read_text().replace('"企业类型" =', '"unheard" ='))
    without = feeds.load(lost)
    with pytest.raises(SettingError, match="has no column unheard"):
        pulling.pull_now(without, lambda _: url)
    with pytest.raises(Unavailable, match="cannot be read"):
        pulling.pull_now(of, lambda _: "postgresql://127.0.0.1:1/x")


def test_one_puller_a_feed_and_one_who_died_is_followed_by_another(
    house: House, tmp_path: Path, drop: Sshd, dropped: Path
) -> None:
    (dropped / "a.csv").write_text(csv())
    of = by_sftp(tmp_path, drop)
    assert pulling._lease(of)
    with pytest.raises(Conflict, match="is being pulled by another process"):
        pull(of)
    with db.transaction() as tx:
        tx.execute(update(feed_state).values(lease_by="someone-dead", lease_until=clock.now()))
    time.sleep(0.001)
    assert len(pull(of)) == 1


def test_a_puller_says_that_it_is_still_at_work_and_stops_once_another_took_over(
    house: House, tmp_path: Path, drop: Sshd, dropped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (dropped / "a.csv").write_text(csv())
    of = by_sftp(tmp_path, drop)
    monkeypatch.setattr(pulling, "BEAT_EVERY_S", 0.0)
    renewed = []
    real = pulling._renew
    monkeypatch.setattr(pulling, "_renew", lambda feed: (renewed.append(feed.feed), real(feed)))
    assert len(pull(of)) == 1
    assert len(renewed) > 2, "with each piece, and with each chunk"

    def taken_over(feed: feeds.Feed) -> None:
        with db.transaction() as tx:
            tx.execute(update(feed_state).values(lease_by="another"))
        real(feed)

    monkeypatch.setattr(pulling, "_renew", taken_over)
    (dropped / "b.csv").write_text(csv())
    with pytest.raises(Conflict, match="was taken over by another process"):
        pull(of)
    assert len(entries("batch.received")) == 1


def test_a_feed_without_transport_is_not_pulled(house: House) -> None:
    with pytest.raises(Invalid, match=r"has no \[transport\]"):
        pull(feeds.load("market-regulation-register"))
