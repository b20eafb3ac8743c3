# SPDX-License-Identifier: Apache-2.0
"""`bureau index` as processes: killed at any moment, it goes on where it stood; many processes say what one does."""

import json
import os
import signal
import subprocess
import time

from sqlalchemy import func, select

from bureau.models import screening_sheet
from bureau.screening import index, versions
from kernel import db
from tests.conftest import House
from tests.factories import deliver, new_uscc, registration
from tests.journeys import service

SHEETS = 6


def filled() -> int:
    with db.reading() as reading:
        done = select(func.count()).where(screening_sheet.c.enterprises.is_not(None))
        return reading.scalar(done) or 0


def test_a_build_that_is_killed_leaves_what_it_did_and_the_next_one_finishes(open_house: House) -> None:
    deliver([registration(n, new_uscc(), **{"C1.01.10": "2020-05-06"}) for n in range(1, SHEETS * 20 + 1)])
    index.ENTERPRISES_A_SHEET, own = 20, index.ENTERPRISES_A_SHEET
    try:
        with db.transaction() as tx:
            index._begun(tx)  # the processes take its sheets as they find them
    finally:
        index.ENTERPRISES_A_SHEET = own
    command = [service.BUREAU, "index", "--processes", "2", "--json"]
    env = service.clean_environment() | open_house.environment
    building = subprocess.Popen(command, env=env, start_new_session=True, stderr=subprocess.DEVNULL)
    assert service.wait_until(lambda: filled() > 0 or building.poll() is not None, 60)
    os.killpg(building.pid, signal.SIGKILL)
    building.wait()
    time.sleep(0.2)
    kept = filled()
    assert kept >= 1
    done = service.run(open_house.environment, "index", "--processes", "2", "--json", within_s=120)
    assert json.loads(done.stdout) == {"indexed": SHEETS * 20}
    with db.reading() as reading:
        snapshot, _ = versions.current(reading)
    assert len(snapshot) == SHEETS * 20
    assert snapshot.columns[0].known().all()
