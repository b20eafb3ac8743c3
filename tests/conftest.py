# SPDX-License-Identifier: Apache-2.0
"""A bureau to test in, on both engines.

`house` is for most tests: an opened bureau, empty but for its first day, undone afterwards. On SQLite it is a
copied file; on PostgreSQL one connection whose transactions are savepoints, rolled back at the end. `open_house`
is a database of its own that commits for real: for tests with threads, processes or kills.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, settings
from sqlalchemy import create_engine, text

from app import database
from app.application import create_app
from kernel import db, keys, signing
from tests import postgres

# On a busy machine an example may take its time: what Hypothesis looks for here is faults, not slowness.
settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")

PUBLIC_URL = "https://bureau.example"


@dataclass(frozen=True)
class House:
    """An opened bureau: its engine's name, its database's URL, the folder with the root key, its own folder."""

    engine: str
    url: str
    home: Path
    own: Path

    @property
    def environment(self) -> dict[str, str]:
        """What a command or a server of this bureau needs in its environment."""
        root = self.home / "keys" / "root.key"
        return {"BUREAU_HOME": str(self.own), "BUREAU_DATABASE_URL": self.url, "BUREAU_ROOT_KEY": str(root)}


def pytest_configure(config: pytest.Config) -> None:
    postgres.start_for_session(config)


def pytest_configure_node(node: object) -> None:
    postgres.share_with_worker(node)


def pytest_unconfigure(config: pytest.Config) -> None:
    postgres.stop_for_session(config)


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose root key every database of this worker's tests was made with."""
    folder = tmp_path_factory.mktemp("home")
    keys.create_root(folder / "keys" / "root.key")
    return folder


@pytest.fixture(scope="session")
def sqlite_template(home: Path) -> Path:
    file = home / "template.db"
    _begin(f"sqlite:///{file}", home)
    return file


@pytest.fixture(scope="session")
def postgres_template(home: Path, worker_id: str, pytestconfig: pytest.Config) -> str:
    name = f"template_{worker_id}"
    _administer(pytestconfig, f"CREATE DATABASE {name}")
    _begin(postgres.url_for(pytestconfig, name), home)
    return name


@pytest.fixture(scope="session")
def worker_database(postgres_template: str, worker_id: str, pytestconfig: pytest.Config) -> str:
    name = f"worker_{worker_id}"
    _administer(pytestconfig, f"CREATE DATABASE {name} TEMPLATE {postgres_template}")
    return postgres.url_for(pytestconfig, name)


@pytest.fixture(params=["sqlite", "postgresql"])
def house(request: pytest.FixtureRequest, home: Path, tmp_path: Path) -> Iterator[House]:
    """An opened, empty bureau on each engine; whatever a test does in it is undone."""
    if request.param == "sqlite":
        file = shutil.copy(request.getfixturevalue("sqlite_template"), tmp_path / "bureau.db")
        house = House("sqlite", f"sqlite:///{file}", home, made(tmp_path / "home"))
        engine = db.open_engine(house.url)
        _open(engine, home)
        yield house
    else:
        house = House("postgresql", request.getfixturevalue("worker_database"), home, made(tmp_path / "home"))
        engine = db.open_engine(house.url)
        with engine.connect() as connection, connection.begin() as whole:
            _open(connection, home)
            yield house
            whole.rollback()
    db.use(None)
    engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def open_house(
    request: pytest.FixtureRequest, home: Path, tmp_path: Path, worker_id: str, pytestconfig: pytest.Config
) -> Iterator[House]:
    """An opened, empty bureau in a database of its own that commits for real."""
    name = f"open_{worker_id}"
    if request.param == "sqlite":
        file = shutil.copy(request.getfixturevalue("sqlite_template"), tmp_path / "bureau.db")
        house = House("sqlite", f"sqlite:///{file}", home, made(tmp_path / "home"))
    else:
        template = request.getfixturevalue("postgres_template")
        _administer(pytestconfig, f"CREATE DATABASE {name} TEMPLATE {template}")
        house = House("postgresql", postgres.url_for(pytestconfig, name), home, made(tmp_path / "home"))
    engine = db.open_engine(house.url)
    _open(engine, home)
    yield house
    db.use(None)
    engine.dispose()
    if house.engine == "postgresql":
        _administer(pytestconfig, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def app(house: House) -> Flask:
    """The application over `house`."""
    return create_app(PUBLIC_URL)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


def made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _begin(url: str, home: Path) -> None:
    engine = db.open_engine(url)
    database.migrate(engine)
    database.begin(engine, keys.read_root(home / "keys" / "root.key"))
    engine.dispose()


def _open(bound: object, home: Path) -> None:
    db.use(bound)  # type: ignore[arg-type]
    with db.reading() as reading:
        keys.use(keys.open_purpose_keys(reading, keys.read_root(home / "keys" / "root.key")))
        signing.open_signers(reading)


def _administer(config: pytest.Config, statement: str) -> None:
    engine = create_engine(postgres.url_for(config, "postgres"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()
