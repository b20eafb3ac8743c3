# SPDX-License-Identifier: Apache-2.0
"""The process that keeps the screening index open for the workers (`bureau.screening.shared`)."""

import signal
import threading
from pathlib import Path

import structlog
from sqlalchemy.exc import DBAPIError

from bureau.screening.shared import Keeper
from kernel import db
from kernel.errors import BureauError

EVERY_S = 1.0
log = structlog.get_logger()


def run(path: Path) -> None:
    """Keep the kept versions open, and hand them out on a socket, until told to stop.

    What fails is logged and tried again; meanwhile the workers go on over what they have.
    """
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    keeper = Keeper(path)
    while not stop.is_set():
        try:
            with db.reading() as reading:
                keeper.refresh(reading)
        except BureauError as error:
            log.error("screening index not opened", problem=error.slug, detail=error.detail)
        except (DBAPIError, OSError) as error:
            log.error("screening index not opened", error=type(error).__name__)
        stop.wait(EVERY_S)
    keeper.close()
