# SPDX-License-Identifier: Apache-2.0
"""The index in memory that workers share: theirs to read only, under no name, swapped and cut while it is used."""

import mmap
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from flask.testing import FlaskClient

from app.application import create_app
from bureau import erasure
from bureau.screening import index, shared, versions
from bureau.screening.shared import Borrowed, Keeper
from consent import consents
from kernel import db
from kernel.errors import Unavailable
from tests.bureau.screening.screened import EVERYONE, City, found_in
from tests.conftest import PUBLIC_URL, House
from tests.factories import COUNTER, consent, deliver, registration

pytestmark = pytest.mark.skipif(not shared.IS_POSSIBLE, reason="memory without a name is Linux's")


@pytest.fixture
def client(open_house: House) -> FlaskClient:
    return create_app(PUBLIC_URL).test_client()


@pytest.fixture
def path(open_house: House) -> Path:
    return open_house.own / ("deep" * 30) / "screening.sock"  # longer than the name of a socket may be


@pytest.fixture
def keeper(path: Path) -> Iterator[Keeper]:
    keeper, own = Keeper(path), versions._source
    versions.use(Borrowed(path))
    yield keeper
    versions.use(own)
    keeper.close()


def refresh(keeper: Keeper) -> int:
    with db.reading() as reading:
        return keeper.refresh(reading)


def asked(path: Path) -> tuple[bytes, list[int]]:
    with db.reading() as reading:
        (head, *_) = versions.heads(reading)
    with socket.socket(socket.AF_UNIX) as own, shared._reached(path) as name:
        own.connect(name)
        own.sendall(orjson.dumps({"version": head.version, "time": head.time.isoformat(), "beyond": 0}))
        told, files, _, _ = socket.recv_fds(own, 1, 1)
    return told, files


def test_a_worker_reads_what_the_keeper_opened_and_can_change_nothing(
    open_house: House, client: FlaskClient, keeper: Keeper, path: Path
) -> None:
    city = City(client, 3)
    for uscc in city.usccs:
        consent(uscc, city.bank)
    city.index()
    assert refresh(keeper) == 1
    assert found_in(city.screen(where=EVERYONE)) == city.usccs
    told, (file,) = asked(path)
    assert (told, stat.S_IMODE(os.fstat(file).st_mode)) == (b"1", 0o600)
    with pytest.raises(PermissionError):
        mmap.mmap(file, os.fstat(file).st_size)  # to write
    with pytest.raises(PermissionError):
        os.ftruncate(file, 0)
    assert str(Path(f"/proc/self/fd/{file}").readlink()) == "/memfd:screening (deleted)"
    os.close(file)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_swap_is_taken_up_and_an_open_cursor_goes_on(open_house: House, client: FlaskClient, keeper: Keeper) -> None:
    city = City(client, 3)
    for uscc in city.usccs:
        consent(uscc, city.bank)
    city.index()
    refresh(keeper)
    page = city.screen(where=EVERYONE, limit=1)
    deliver([registration(1, city.usccs[2], **{"C1.01.10": "1999-01-01"})])
    index.patch()
    told = city.screen(where={"indicator": "BASIC.AGE_YEARS", "gte": 20})
    assert found_in(told) == []  # the keeper has not opened it yet: the one before serves
    assert refresh(keeper) == 1
    assert found_in(city.screen(where={"indicator": "BASIC.AGE_YEARS", "gte": 20})) == city.usccs[2:]
    assert found_in(city.screen(cursor=page.json["next_cursor"])) == city.usccs[1:2]
    city.index()
    assert city.screen(cursor=page.json["next_cursor"]).status_code == 410
    refresh(keeper)
    assert len(keeper._held) == versions.KEPT


def test_who_is_shredded_is_hidden_at_once_and_soon_in_no_memory(
    open_house: House, client: FlaskClient, keeper: Keeper, path: Path
) -> None:
    city = City(client, 3)
    for uscc in city.usccs:
        consent(uscc, city.bank)
    city.index()
    refresh(keeper)
    assert found_in(city.screen(where=EVERYONE)) == city.usccs
    with db.transaction() as tx:
        erasure.shred(tx, city.usccs[0], "test")
    assert found_in(city.screen(where=EVERYONE)) == city.usccs[1:]
    assert refresh(keeper) == 1
    assert found_in(city.screen(where=EVERYONE)) == city.usccs[1:]
    with db.reading() as reading:
        snapshot, hidden = versions.current(reading)
    assert ([snapshot.uscc(row) for row in range(len(snapshot))], hidden) == (city.usccs[1:], [])


def test_without_a_keeper_a_worker_goes_on_over_what_it_has_or_says_to_come_again(
    open_house: House, client: FlaskClient, keeper: Keeper, path: Path
) -> None:
    city = City(client, 2)
    held = [consent(uscc, city.bank) for uscc in city.usccs]
    city.index()
    refresh(keeper)
    assert found_in(city.screen(where=EVERYONE)) == city.usccs
    keeper._socket.shutdown(socket.SHUT_RDWR)
    for _ in range(versions.KEPT):  # until none of the kept versions was ever opened here
        city.index()
    with db.transaction() as tx:
        consents.revoke(tx, held[0], COUNTER)
    assert found_in(city.screen(where=EVERYONE)) == city.usccs[1:]
    versions.use(Borrowed(path))  # a worker that was just started
    with db.reading() as reading, pytest.raises(Unavailable) as raised:
        versions.current(reading)
    assert raised.value.slug == "screening-not-ready"
