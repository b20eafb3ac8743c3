# SPDX-License-Identifier: Apache-2.0
"""Log lines: JSON on standard error, with anything that looks like a secret taken out."""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

HIDDEN = ("secret", "password", "token", "authorization", "key", "ciphertext", "items", "raw")


def set_up(level: str) -> None:
    """Set the process's logging up; called once, by a command or a server worker."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            redact,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )


def redact(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Blank the values of fields whose name speaks of a secret or of a record's content."""
    for name in event:
        if any(word in name.lower() for word in HIDDEN):
            event[name] = "[hidden]"
    return event
