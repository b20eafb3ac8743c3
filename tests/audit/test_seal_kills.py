# SPDX-License-Identifier: Apache-2.0
"""kill -9 of the sealer at every step and at random, under load: nothing is lost, nothing forks, verify is green."""

import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from audit import log, merkle, publishing, sealing, verification
from audit.models import checkpoint as checkpoints
from audit.models import entry as entries
from audit.models import leaf as leaves
from kernel import db
from tests.audit.test_sealing import ORIGIN, append, hashes, naive
from tests.conftest import House
from tests.journeys.service import clean_environment

KILLS = 12
SEED = 2026
# Seals and publishes without end, in a process of its own; says when it is at work.
SEALER = """
import sys
from pathlib import Path
from app import open_bureau
from app.config import read
from audit import publishing, sealing
from kernel import db
open_bureau(read())
print("at work", flush=True)
while True:
    sealing.seal(sys.argv[1])
    with db.reading() as reading:
        publishing.publish(reading, Path(sys.argv[2]))
"""


def test_a_sealer_killed_at_random_under_load_loses_and_forks_nothing(open_house: House, tmp_path: Path) -> None:
    folder, stop, chance = tmp_path / "log", threading.Event(), random.Random(SEED)
    written: list[str] = []

    def load() -> None:
        while not stop.is_set():
            written.extend(append(7))

    writer = threading.Thread(target=load)
    writer.start()
    try:
        for _ in range(KILLS):
            with subprocess.Popen(
                [sys.executable, "-c", SEALER, ORIGIN, str(folder)],
                env=clean_environment() | open_house.environment,
                cwd=Path(__file__).parents[2],
                stdout=subprocess.PIPE,
                text=True,
            ) as sealer:
                assert sealer.stdout is not None
                assert sealer.stdout.readline() == "at work\n"
                stop.wait(chance.random() * 0.4)
                os.kill(sealer.pid, signal.SIGKILL)
    finally:
        stop.set()
        writer.join()
    assert_whole(folder, written)


@pytest.mark.parametrize("step", ["_write_tiles", "_root", "_waiting", "_lock_head"])
def test_a_sealing_that_breaks_off_at_any_step_leaves_nothing_half_done(
    open_house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    written = append(300)
    sealing.seal(ORIGIN)
    written += append(5)
    with monkeypatch.context() as patch:
        patch.setattr(sealing, step, broken(getattr(sealing, step)))
        with pytest.raises(KeyboardInterrupt):
            sealing.seal(ORIGIN)
    with db.reading() as reading:
        head = log.head(reading)
        assert head is not None
        assert head.size == 300
    assert_whole(tmp_path / "log", written)


def broken(step: Callable[..., Any]) -> Callable[..., Any]:
    """Does the step, and is cut off before anything after it."""

    def cut_off(*given: Any) -> Any:
        step(*given)
        raise KeyboardInterrupt

    return cut_off


def assert_whole(folder: Path, written: list[str]) -> None:
    """Every entry is a leaf once, every checkpoint ever signed is a prefix of the last, all of it verifies."""
    sealing.seal(ORIGIN)
    with db.reading() as reading:
        publishing.publish(reading, folder)
        report = verification.verify(reading, folder)
        assert (report.ok, report.unsealed) == (True, 0), report.faults
        assert report.size == len(written) == reading.scalar(select(func.count()).select_from(entries))
        assert set(reading.scalars(select(leaves.c.entry))) == set(written)
        found, last = hashes(), log.head(reading)
        assert last is not None
        assert last.root == naive(found)
        for size, root in reading.execute(select(checkpoints.c.size, checkpoints.c.root)).all():
            proof = log.consistency(reading, size, last.size)
            assert merkle.is_consistent(size, last.size, proof, root, last.root)
