# SPDX-License-Identifier: Apache-2.0
"""The messenger process, the one that calls outward: tells webhooks what changed, fetches the keys clients publish."""

import signal
import threading

import structlog
from sqlalchemy.exc import DBAPIError

from app.config import Settings
from connectors import client_keys, messenger
from kernel.errors import BureauError

EVERY_S = 1.0
log = structlog.get_logger()


def run(settings: Settings) -> None:
    """Work until told to stop. What fails is logged and tried again in the next round."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    while not stop.is_set():
        sent = 0
        try:
            sent = messenger.work_once(settings.outward_networks)
            client_keys.work_once(settings.outward_networks)
        except (BureauError, DBAPIError) as error:
            log.error("messages wait", error=type(error).__name__)
        if not sent:
            stop.wait(EVERY_S)
