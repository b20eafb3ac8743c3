# SPDX-License-Identifier: Apache-2.0
"""The command line in this process, a place without a bureau, and a demo city that is made once."""

import fcntl
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import structlog
from click.testing import CliRunner
from sqlalchemy import Engine

from app.cli import main
from kernel import db
from tests import postgres
from tests.conftest import House, _administer
from tests.journeys import service

DEMO_ENTERPRISES = 400
SETTINGS = (
    "HOME",
    "DATABASE_URL",
    "MIGRATION_URL",
    "ROOT_KEY",
    "CIPHER_SUITE",
    "PUBLIC_URL",
    "LOG_LEVEL",
    "REQUIRE_TOTP",
    "POLICY",
    "RETENTION",
    "TRUSTED_PROXIES",
    "WITNESS_POLICY",
    "METRICS_TOKEN",
)


class Ran(NamedTuple):
    """What a command gave: exit code, standard output, standard error."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON document on standard output; fails where anything else is there."""
        return json.loads(self.out)

    @property
    def complaint(self) -> str:
        """The one line on standard error, of a command that could not be done."""
        assert self.code == 2, self
        (line,) = self.err.splitlines()
        assert line.startswith("bureau: "), self
        return line.removeprefix("bureau: ")


Bureau = Callable[..., Ran]


@pytest.fixture
def bureau(open_house: House) -> Iterator[Bureau]:
    """Run a `bureau` command in `open_house`; keywords are settings (HOME, ROOT_KEY …)."""
    yield lambda *arguments, **settings: run_here(open_house.environment, *arguments, **settings)
    structlog.reset_defaults()


def run_here(environment: dict[str, str], *arguments: str, **settings: str) -> Ran:
    """Run a `bureau` command in this process; what was bound before is bound again."""
    env: dict[str, str | None] = dict.fromkeys(f"BUREAU_{name}" for name in SETTINGS)
    env |= environment | {f"BUREAU_{name}": value for name, value in settings.items()}
    bound, db._bound = db._bound, None
    try:
        result = CliRunner().invoke(main, arguments, env=env)
    finally:
        opened, db._bound = db._bound, bound
        if isinstance(opened, Engine):
            opened.dispose()
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    return Ran(result.exit_code, result.stdout, result.stderr)


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_house(
    request: pytest.FixtureRequest, tmp_path: Path, worker_id: str, pytestconfig: pytest.Config
) -> Iterator[House]:
    """Where a bureau could be made: a home that is not there yet, and on PostgreSQL an empty database."""
    home = tmp_path / "home"
    if request.param == "sqlite":
        yield House("sqlite", f"sqlite:///{home / 'bureau.db'}", home, home)
    else:
        name = f"empty_{worker_id}"
        _administer(pytestconfig, f"CREATE DATABASE {name}")
        yield House("postgresql", postgres.url_for(pytestconfig, name), home, home)
        _administer(pytestconfig, f"DROP DATABASE {name} WITH (FORCE)")
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def made_city(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A home with the demo city, made once for all workers by the commands: to be copied or read only."""
    base = tmp_path_factory.getbasetemp()
    home = (base if worker_id == "master" else base.parent) / "demo-city"
    with home.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / "printed.json").exists():
            environment = {"BUREAU_HOME": str(home)}
            made = service.run(environment, "init")
            assert made.returncode == 0, made.stderr
            filled = service.run(environment, "demo", "--enterprises", str(DEMO_ENTERPRISES), "--json", within_s=300)
            assert filled.returncode == 0, filled.stderr
            (home / "printed.json").write_text(filled.stdout)
    return home


@pytest.fixture
def city_home(made_city: Path, tmp_path: Path) -> Path:
    """A copy of the demo city's home, to be changed."""
    return Path(shutil.copytree(made_city, tmp_path / "var"))
