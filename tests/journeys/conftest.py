# SPDX-License-Identifier: Apache-2.0
"""A bureau that is being served, with a bank and an enterprise that trust each other at the beginning."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from kernel import db
from tests import postgres
from tests.conftest import House, _administer, _open
from tests.journeys import browsing, service
from tests.journeys.browsing import Site
from tests.journeys.cast import Cast, engaged
from tests.journeys.service import Service


@pytest.fixture
def cast(open_house: House) -> Cast:
    """The people of a story: the enterprise has records and lets the bank ask, and no one else."""
    return engaged()


@pytest.fixture
def served(open_house: House, cast: Cast, tmp_path: Path) -> Iterator[Service]:
    """The cast's bureau, served by two worker processes."""
    with service.served(open_house.environment, tmp_path / "service.log") as running:
        yield running


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def shared_house(
    request: pytest.FixtureRequest,
    home: Path,
    tmp_path_factory: pytest.TempPathFactory,
    worker_id: str,
    pytestconfig: pytest.Config,
) -> Iterator[House]:
    """As `open_house`, for all stories of a module: none of them ends what another one needs."""
    name = f"shared_{worker_id}"
    if request.param == "sqlite":
        template, file = (
            request.getfixturevalue("sqlite_template"),
            tmp_path_factory.mktemp("shared") / "bureau.db",
        )
        house = House("sqlite", f"sqlite:///{shutil.copy(template, file)}", home, file.parent)
    else:
        template = request.getfixturevalue("postgres_template")
        _administer(pytestconfig, f"CREATE DATABASE {name} TEMPLATE {template}")
        house = House("postgresql", postgres.url_for(pytestconfig, name), home, tmp_path_factory.mktemp("shared"))
    engine = db.open_engine(house.url)
    _open(engine, home)
    yield house
    db.use(None)
    engine.dispose()
    if house.engine == "postgresql":
        _administer(pytestconfig, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="module")
def shared_service(shared_house: House, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with service.served(shared_house.environment, tmp_path_factory.mktemp("log") / "service.log") as running:
        yield running


@pytest.fixture(scope="module")
def shared_cast(shared_service: Service) -> Cast:
    return engaged()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright, browsing.chromium(playwright) as browser:
        yield browser


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """A bank's own site."""
    with browsing.bank_site() as site:
        yield site
