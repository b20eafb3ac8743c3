# SPDX-License-Identifier: Apache-2.0
"""`bureau witness` as a process of its own, and a database as a backup would bring it back."""

import contextlib
import os
import sqlite3
import subprocess
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from sqlalchemy import make_url

from kernel import db
from tests.conftest import House, _administer
from tests.journeys import service
from tests.journeys.service import _MARK, BUREAU, READY_WITHIN_S, Service, clean_environment, free_port, wait_until


@contextlib.contextmanager
def witnessing(file: Path, name: str, logs: Sequence[str], *, port: int | None = None) -> Iterator[Service]:
    """A witness that takes connections; whatever is left of it at the end is killed."""
    mark, port = uuid.uuid4().hex, port or free_port()
    options = [option for key in logs for option in ("--log", key)]
    log = file.with_suffix(".log")
    with log.open("ab") as told:
        process = subprocess.Popen(
            [BUREAU, "witness", "--store", str(file), "--name", name, "--port", str(port), *options],
            env=clean_environment() | {_MARK: mark, "BUREAU_HOME": os.devnull},  # it must not look for a bureau
            stdin=subprocess.DEVNULL,
            stdout=told,
            stderr=told,
        )
    running = Service(process, port, 1, mark, log)
    try:
        assert wait_until(lambda: process.poll() is not None or running.listeners(), READY_WITHIN_S)
        assert process.poll() is None, log.read_text()
        yield running
    finally:
        service.kill(running)


def back_up(house: House, folder: Path, config: pytest.Config) -> str:
    """A copy of the database as it is now. Returns its URL."""
    db.current().dispose()  # type: ignore[union-attr]
    if house.engine == "sqlite":
        with contextlib.closing(sqlite3.connect(house.url.removeprefix("sqlite:///"))) as database:
            database.execute("VACUUM INTO ?", [str(folder / "backup.db")])
        return f"sqlite:///{folder / 'backup.db'}"
    url = make_url(house.url)
    _administer(config, f"DROP DATABASE IF EXISTS {url.database}_backup")
    _administer(config, f"CREATE DATABASE {url.database}_backup TEMPLATE {url.database}")
    return url.set(database=f"{url.database}_backup").render_as_string(hide_password=False)
