# SPDX-License-Identifier: Apache-2.0
"""Acts at one moment, each in a thread of its own."""

import threading
from collections.abc import Callable
from typing import Any


def at_once(acts: list[Callable[[], Any]]) -> list[Any]:
    """What each act, all begun at one moment, returned or raised; in the order in which they ended."""
    outcomes: list[Any] = []
    gate = threading.Barrier(len(acts))

    def run(act: Callable[[], Any]) -> None:
        gate.wait()
        try:
            outcomes.append(act())
        except Exception as error:  # noqa: BLE001  # whatever it is, the test shows it
            outcomes.append(error)

    threads = [threading.Thread(target=run, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes
