# SPDX-License-Identifier: Apache-2.0
"""Pulls killed with SIGKILL at random moments, by each transport: for tests and for `python -m bench.pull_kills`.

The same deliveries are pulled by two feeds from one server: by `killed`, whose puller dies and is followed at once by
another, and by `clean`, which nobody disturbs. Both must then hold the same.
"""

import json
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import Column, DateTime, Integer, MetaData, String, Table, create_engine, func, insert, select

from bureau import catalogue, holdings, intake
from bureau.models import batch as batches
from bureau.models import open_batch
from connectors import feeds, pulling, spool
from connectors.models import feed_state
from kernel import db
from tests.bureau.histories import entries, held_by_batch
from tests.connectors.servers import Origin, Sshd
from tests.factories import new_uscc
from tests.nursery import Nursery

CHUNK_ROWS, ROWS = 10, 60
COLUMNS = ("企业名称", "统一社会信用代码", "注册日期", "企业类型", "注册资金", "经营范围", "所在省份", "地区")
SAME = ("rows", "accepted", "rejected", "reasons", "warnings", "amended")
REGISTER = (feeds.SHIPPED / "market-regulation-register.toml").read_text(encoding="utf-8")
FIRMS = Table(
    "firms",
    MetaData(),
    Column("no", Integer, primary_key=True),
    Column("changed", DateTime, nullable=False),
    *(Column(name, String(80)) for name in COLUMNS),
)
Rows = Sequence[tuple[str, ...]]  # in the order of COLUMNS


@dataclass(frozen=True)
class Way:
    """How deliveries come: what `[transport]` says, in which format, and how the nth is laid out at the other end."""

    transport: dict[str, Any]
    format: str
    lay_out: Callable[[int, Rows], None]


def by_sftp(drop: Sshd) -> Way:
    """Files dropped into a folder."""

    def lay_out(nth: int, rows: Rows) -> None:
        (drop.folder / f"{nth}.csv").write_text("".join(f"{','.join(row)}\n" for row in (COLUMNS, *rows)))

    told = {"kind": "sftp", "host": "127.0.0.1", "port": drop.port, "user": drop.user, "files": 10, "settled_s": 0}
    told |= {"private_key": f"file:{drop.key}", "host_key": drop.host_key, "folder": str(drop.folder)}
    return Way({**told, "pattern": "*.csv"}, "csv", lay_out)


def by_https(origin: Origin) -> Way:
    """Pages of rows behind OAuth2."""
    (origin.folder / "secret").write_text("secret")

    def lay_out(_nth: int, rows: Rows) -> None:
        (origin.folder / "rows.json").write_text(json.dumps([dict(zip(COLUMNS, row, strict=True)) for row in rows]))

    told = {
        "kind": "https",
        "url": f"{origin.url}/cursor?size=20",
        "token_url": f"{origin.url}/token",
        "client_id": "client",
    }
    told |= {"client_secret": f"file:{origin.folder / 'secret'}", "ca": str(origin.ca)}
    paging = {"paging": "cursor", "parameter": "after", "member": "next", "rows": "data", "pages": ROWS}
    return Way({**told, **paging}, "jsonl", lay_out)


def by_database(folder: Path) -> Way:
    """Rows of a front-end database, by keyset."""
    url = f"sqlite:///{folder / 'front.db'}"
    (folder / "address").write_text(url)
    engine = create_engine(url)
    FIRMS.metadata.create_all(engine)

    def lay_out(nth: int, rows: Rows) -> None:
        changed = datetime(2026, 1, 1) + timedelta(minutes=nth)  # noqa: DTZ001  # as such databases keep it
        with engine.begin() as tx:
            for number, row in enumerate(rows):
                no = nth * ROWS + number
                tx.execute(insert(FIRMS).values(no=no, changed=changed, **dict(zip(COLUMNS, row, strict=True))))

    told = {"kind": "database", "url": f"file:{folder / 'address'}", "table": "firms", "rows": 1_000}
    return Way({**told, "watermark": "changed", "key": "no"}, "jsonl", lay_out)


def prepare(spooled: str) -> None:
    """What the nursery does once (see `tests.nursery`)."""
    intake.CHUNK_ROWS = CHUNK_ROWS
    catalogue.current()
    spool.use(Path(spooled))


def work(line: str, tell: Callable[[int], None]) -> None:
    """What a worker does that may be killed: pull the feed of this TOML file."""
    pulling.pull_now(feeds.load(Path(line)), reveal, tell)


def reveal(reference: str) -> str:
    return Path(reference.removeprefix("file:")).read_text(encoding="utf-8")


def kill(way: Way, folder: Path, nursery: Nursery, loads: int, chance: random.Random) -> int:
    """Kill a pull of each of so many deliveries; assert that it ended as a clean one. Returns how many were cut off.

    The last of them only once it has begun, so that whatever chance decides, one is cut off.
    """
    killed, clean = (_declared(way, folder, name) for name in ("killed", "clean"))
    codes, cut, took_s = [new_uscc() for _ in range(7)], 0, 0.3
    for nth in range(loads):
        way.lay_out(nth, _rows(nth, codes))
        nursery.start(str(folder / "killed.toml"))
        steps = chance.randrange(ROWS // CHUNK_ROWS) * chance.randrange(2)  # half of them while it fetches
        steps = steps if nth < loads - 1 else 1
        for _ in range(steps):
            nursery.hear()
        nursery.kill_within(chance.random() * (0.004 if steps else took_s) if nth < loads - 1 else 0)
        cut += _is_held("killed")
        begun = time.monotonic()
        _pull(killed)  # at once: nobody waits for the lease of the dead
        took_s = time.monotonic() - begun
        _pull(clean)
    _assert_same(loads, codes)
    return cut


def _declared(way: Way, folder: Path, name: str) -> feeds.Feed:
    toml = REGISTER.replace('feed = "market-regulation-register"', f'feed = "{name}"')
    toml = toml.replace('format = "csv"', f'format = "{way.format}"')
    transport = "\n".join(f"{key} = {json.dumps(value)}" for key, value in way.transport.items())
    (folder / f"{name}.toml").write_text(f"{toml}\n[transport]\n{transport}\n", encoding="utf-8")
    return feeds.load(folder / f"{name}.toml")


def _rows(nth: int, codes: Sequence[str]) -> Rows:
    return [
        (
            f"演示{nth}之{number}",
            "nobody" if number % 13 == 0 else codes[number % 7],
            "2019-05-06",
            "有限责任公司",
            f"{number}(万)",
            "机械",
            "江苏",
            "苏州",
        )
        for number in range(1, ROWS + 1)
    ]


def _pull(feed: feeds.Feed) -> None:
    """Pull what there is; pages come again until they change."""
    while any(not receipt.duplicate for receipt in pulling.pull_now(feed, reveal)):
        pass


def _is_held(feed: str) -> bool:
    with db.reading() as reading:
        return reading.scalar(select(feed_state.c.lease_by).where(feed_state.c.feed == feed)) is not None


def _assert_same(loads: int, codes: Sequence[str]) -> None:
    with db.reading() as reading:
        taken = {
            feed: reading.execute(select(batches).where(batches.c.feed == feed).order_by(batches.c.id)).all()
            for feed in ("killed", "clean")
        }
        assert reading.scalar(select(func.count()).select_from(open_batch)) == 0
        assert list(holdings.faults(reading)) == []
    assert [len(rows) for rows in taken.values()] == [loads, loads]
    assert len(entries("batch.received")) == 2 * loads
    held = held_by_batch(codes, 1)
    for one, other in zip(taken["killed"], taken["clean"], strict=True):
        told, again = orjson.loads(one.receipt), orjson.loads(other.receipt)
        assert one.digest == other.digest
        assert {name: told[name] for name in SAME} == {name: again[name] for name in SAME}
        assert (told["rows"], told["rejected"]) == (ROWS, ROWS // 13)
        assert (told["repeated"], again["repeated"]) == (0, again["accepted"]), "the clean one brings it all again"
        assert held[str(one.id)] == held[str(other.id)]
        assert held[str(one.id)][0] == {f"{n}.C1.01" for n in range(1, ROWS + 1) if n % 13}
