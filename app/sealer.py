# SPDX-License-Identifier: Apache-2.0
"""The sealing process: every second it takes committed entries into the tree and publishes the log as files."""

import signal
import threading
from urllib.parse import urlsplit

import structlog
from sqlalchemy.exc import DBAPIError

from app.config import Settings
from audit import publishing, sealing
from audit.sealing import Sealed
from kernel import db
from kernel.errors import BureauError

EVERY_S = 1.0
log = structlog.get_logger()


def origin(public_url: str) -> str:
    """The log's name: its address without scheme (C2SP tlog-tiles)."""
    parts = urlsplit(public_url)
    return f"{parts.netloc}{parts.path.rstrip('/')}/log"


def seal_once(settings: Settings) -> Sealed:
    """Seal all that is committed and publish it; raises LogBroken where the log is not what was published."""
    with db.reading() as reading:
        publishing.require_consistent(reading, settings.log_folder)
    sealed = sealing.seal(origin(settings.public_url))
    with db.reading() as reading:
        publishing.publish(reading, settings.log_folder)
    return sealed


def run(settings: Settings) -> None:
    """Seal until told to stop. What fails is logged and tried again: questions stop by themselves after a minute."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    while not stop.is_set():
        try:
            seal_once(settings)
        except BureauError as error:
            log.error("sealing failed", problem=error.slug, detail=error.detail)
        except (DBAPIError, OSError) as error:
            log.error("sealing failed", error=type(error).__name__)
        stop.wait(EVERY_S)
