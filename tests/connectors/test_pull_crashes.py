# SPDX-License-Identifier: Apache-2.0
"""A puller that is killed is followed by another at once, which ends as a clean one would. The long form:
`python -m bench.pull_kills`."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from connectors import spool
from tests.conftest import House, made
from tests.connectors import pull_kills
from tests.connectors.pull_kills import Way
from tests.connectors.servers import Origin, Sshd
from tests.nursery import nursery

LOADS = 3


@pytest.fixture(params=["sftp", "https", "database"])
def way(request: pytest.FixtureRequest, tmp_path: Path, drop: Sshd, origin: Origin) -> Way:
    ways: dict[str, Callable[[], Way]] = {
        "sftp": lambda: pull_kills.by_sftp(drop),
        "https": lambda: pull_kills.by_https(origin),
        "database": lambda: pull_kills.by_database(tmp_path),
    }
    for file in drop.folder.iterdir():
        file.unlink()
    return ways[request.param]()


def test_a_pull_killed_at_a_random_moment_is_gone_on_with_at_once_and_ends_as_a_clean_one(
    open_house: House, way: Way, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed = random.randrange(2**32)
    print("seed", seed)  # noqa: T201  # pytest shows it where the test fails
    monkeypatch.setattr(spool, "_folder", made(tmp_path / "spool"))
    root = open_house.home / "keys" / "root.key"
    with nursery(open_house.url, root, "tests.connectors.pull_kills", str(tmp_path / "spool")) as workers:
        cut = pull_kills.kill(way, tmp_path, workers, LOADS, random.Random(seed))
    assert cut > 0, "none was interrupted"
    spool.sweep()
    assert list((tmp_path / "spool").iterdir()) == []
