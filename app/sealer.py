# SPDX-License-Identifier: Apache-2.0
"""The sealing process: every second it takes committed entries into the tree and publishes the log as files.

Beside it, where the policy asks for a quorum, a thread has witnesses cosign the newest checkpoint. Sealing waits for
no witness; what is shown to others waits for a quorum. What contradicts the log, in its published files or in a
witness's memory, stops the sealing, and so, a minute later, the questions.
"""

import signal
import threading
import time
from contextlib import closing
from datetime import timedelta
from urllib.parse import urlsplit

import structlog
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from app.config import Settings
from app.witnesses import Asker
from audit import log, publishing, sealing, trust, witnessing
from audit.sealing import LogBroken, Sealed
from audit.witnessing import Round
from kernel import clock, db, signing
from kernel.errors import BureauError, Unavailable

EVERY_S = 0.8  # from one start to the next, so that with its own sealing an entry is under a checkpoint within a second
REFRESH_AFTER = timedelta(minutes=10)  # a quorum says anew that it is there, though nothing was sealed
logger = structlog.get_logger()


def origin(public_url: str) -> str:
    """The log's name: its address without scheme (C2SP tlog-tiles)."""
    parts = urlsplit(public_url)
    return f"{parts.netloc}{parts.path.rstrip('/')}/log"


def seal_once(settings: Settings) -> Sealed:
    """Confirm that the log is what it was, seal all that is committed, have it witnessed, publish it.

    Raises LogBroken where the log is not what was published or witnessed, Unavailable where no one else can tell.
    """
    with closing(Asker(trust.current())) as ask:
        require_confirmed(settings, ask)
        sealed = _seal(settings)
        if trust.current().asks_for_cosignatures:
            _witness(settings, ask)
    return sealed


def require_confirmed(settings: Settings, ask: Asker) -> None:
    """A memory outside of the database says that the log is not behind: its published files, or a quorum of witnesses.

    Raises LogBroken where either contradicts it, Unavailable where a quorum is asked for and there is neither.
    """
    with db.reading() as reading:
        published = publishing.require_consistent(reading, settings.log_folder)
    if not trust.current().asks_for_cosignatures:
        return
    held = _witness(settings, ask)
    if not held.is_met and not published:
        raise Unavailable(
            f"no quorum of witnesses answers and {settings.log_folder} holds no published log, so nothing outside of "
            f"the database says that it is whole: start the witnesses that BUREAU_WITNESS_POLICY names"
        )


def run(settings: Settings) -> None:
    """Seal until told to stop. What fails is logged and tried again: questions stop by themselves after a minute."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with closing(Asker(trust.current())) as ask:
        witnesses = _Witnesses(settings, ask, stop)
        is_confirmed = False
        while not stop.is_set():
            begun = time.monotonic()
            try:
                witnesses.require_agreement()
                if not is_confirmed:
                    witnesses.begin()
                    is_confirmed = True
                if _seal(settings).sealed:
                    witnesses.wake()
            except BureauError as error:
                logger.error("sealing failed", problem=error.slug, detail=error.detail)
            except (DBAPIError, PoolTimeout, OSError) as error:
                logger.error("sealing failed", error=type(error).__name__)
            stop.wait(max(0, EVERY_S - (time.monotonic() - begun)))


class _Witnesses:
    """The thread that has the newest checkpoint cosigned, and what it found last."""

    def __init__(self, settings: Settings, ask: Asker, stop: threading.Event) -> None:
        self._settings, self._ask, self._stop = settings, ask, stop
        self._broken: LogBroken | None = None
        self._failed: dict[str, str] = {}
        self._thread: threading.Thread | None = None
        self._grown = threading.Event()

    def begin(self) -> None:
        """Confirm that the log is what it was, and begin to have it cosigned; raises as `require_confirmed` does."""
        try:
            require_confirmed(self._settings, self._ask)
        except LogBroken as error:
            self._broken = error
            raise
        if trust.current().asks_for_cosignatures:
            self._thread = threading.Thread(target=self._work, name="witnesses", daemon=True)
            self._thread.start()

    def wake(self) -> None:
        """There is something new to cosign."""
        self._grown.set()

    def require_agreement(self) -> None:
        """Raise LogBroken where something contradicted the log, ever since the start."""
        if self._broken is not None:
            raise self._broken
        if self._thread is not None and not self._thread.is_alive():
            raise RuntimeError("the thread that asks the witnesses has ended")  # and so does this process

    def _work(self) -> None:
        while not self._stop.is_set():
            try:
                if _is_due():
                    self._tell(_witness(self._settings, self._ask))
            except LogBroken as error:
                self._broken = error
                return  # until someone has looked, and started the bureau again
            except BureauError as error:
                logger.error("witnessing failed", problem=error.slug, detail=error.detail)
            except (DBAPIError, PoolTimeout, OSError) as error:
                logger.error("witnessing failed", error=type(error).__name__)
            self._grown.wait(EVERY_S)
            self._grown.clear()

    def _tell(self, held: Round) -> None:
        """One line where it changed who does not cosign."""
        if held.failed.keys() != self._failed.keys():
            logger.warning("witnesses", size=held.head.size, quorum=held.is_met, missing=held.failed)
        self._failed = held.failed


def _is_due() -> bool:
    """Whether the newest checkpoint has no quorum yet, or its quorum is old."""
    with db.reading() as reading:
        head, shown = log.head(reading), log.shown(reading)
    if head is None or shown is None:
        return head is not None
    return shown.size != head.size or clock.now() - shown.time > REFRESH_AFTER


def _seal(settings: Settings) -> Sealed:
    with db.reading() as reading:
        signing.open_signers(reading)  # a key that was added or retired counts at once
        publishing.require_consistent(reading, settings.log_folder)
    sealed = sealing.seal(origin(settings.public_url))
    if sealed.missed:
        logger.error("entries were deleted before they were sealed", count=sealed.missed, named_by="bureau verify")
    _publish(settings)
    return sealed


def _witness(settings: Settings, ask: Asker) -> Round:
    return witnessing.hold_round(origin(settings.public_url), ask, lambda: _publish(settings))


def _publish(settings: Settings) -> None:
    with db.reading() as reading:
        publishing.publish(reading, settings.log_folder)
