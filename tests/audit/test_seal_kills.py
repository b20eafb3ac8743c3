# SPDX-License-Identifier: Apache-2.0
"""kill -9 of the sealer at every step of sealing and publishing, and at random under load: nothing lost, no fork.

`python -m bench.kills` does it a hundred times under a heavier load.
"""

import random

from audit import publishing, sealing
from kernel import db
from tests.audit import killing
from tests.audit.test_sealing import ORIGIN, append
from tests.conftest import House

KILLS = 12
SEED = 2026


def test_a_sealer_killed_at_any_step_loses_and_forks_nothing(open_house: House) -> None:
    """Each time 130 entries more: so that some tiles become full, and partial ones go."""
    folder, written = open_house.own / "log", append(250)
    sealing.seal(ORIGIN)
    with db.reading() as reading:
        publishing.publish(reading, folder)
    with killing.watched(folder) as seen, killing.sealer(open_house.environment) as sealer:
        for module, name, nth in killing.STEPS:
            written += append(130)
            assert sealer.killed_at(module, name, nth), f"{module}.{name} was not reached {nth} times"
    killing.assert_whole(folder, written, seen)


def test_a_sealer_killed_at_random_under_load_loses_and_forks_nothing(open_house: House) -> None:
    folder, chance = open_house.own / "log", random.Random(SEED)
    with (
        killing.sealer(open_house.environment) as sealer,
        killing.load() as written,
        killing.watched(folder) as seen,
    ):
        for nth in range(KILLS * 5):
            assert sealer.killed_after(chance.random() * 0.05 * (nth + 1))
            if nth >= KILLS and seen:
                break
    assert seen, "no sealer lived long enough to publish: nothing was tried"
    killing.assert_whole(folder, written, seen)
