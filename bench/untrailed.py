# SPDX-License-Identifier: Apache-2.0
"""The bureau's own application without its trail, to measure what evidence costs.

In this process only, an entry is never written, no Idempotency-Key is looked up, and a question's work is a
series of reads that need no commit. All else, from the token to the digest of the answer, is as served.
"""

from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from app.wsgi import application
from audit import trail
from kernel import clock, db

__all__ = ["application"]


def _record_nothing(**_: Any) -> AbstractContextManager[Connection]:
    return db.reading()


def _append_nothing(*_: Any) -> datetime:
    return clock.now()


def _find_nothing(*_: Any) -> None:
    return None


_STAND_INS = {"recording": _record_nothing, "append": _append_nothing, "find_keyed": _find_nothing}

for _name, _stand_in in _STAND_INS.items():
    if not hasattr(trail, _name):
        raise RuntimeError(f"audit.trail has no {_name} any more: bench/untrailed.py must follow")
    setattr(trail, _name, _stand_in)
