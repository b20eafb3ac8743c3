# SPDX-License-Identifier: Apache-2.0
"""Tables of a feed's TOML taken apart: each key is taken out as what it must be, and what is left over is unknown.

`where` is the beginning of a message: the file and the table, `x.toml: limits.`.
"""

import re
from collections.abc import Collection
from typing import Any, TypeVar

from kernel.errors import SettingError

SLUG = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")

_T = TypeVar("_T")
_KINDS = {str: "a text", bool: "true or false", int: "a whole number", dict: "a table", list: "a list"}


def take(table: dict[str, Any], where: str, key: str, kind: type[_T], default: Any = ...) -> _T:
    """Take a key of exactly this type out of a table, or its default; without one it must be there."""
    value = table.pop(key, default)
    if value is ...:
        raise SettingError(f"{where}{key}: is missing")
    if type(value) is not kind:
        raise SettingError(f"{where}{key}: expected {_KINDS.get(kind, kind.__name__)}, found {value!r}")
    return value


def choice(table: dict[str, Any], where: str, key: str, known: Collection[str], default: Any = ...) -> str:
    """Take one of the known words."""
    value = take(table, where, key, str, default)
    if value not in known:
        listed = ", ".join(sorted(known)[:12])
        raise SettingError(f"{where}{key}: {value!r} is not among {listed}{' …' if len(known) > 12 else ''}")
    return value


def number(table: dict[str, Any], where: str, key: str, least: int, most: int, default: Any = ...) -> int:
    """Take a whole number within its bounds."""
    value = take(table, where, key, int, default)
    if not least <= value <= most:
        raise SettingError(f"{where}{key}: expected {least} to {most}, found {value}")
    return value


def texts(table: dict[str, Any], where: str, key: str) -> tuple[str, ...]:
    """Take a list of texts; none where it is not there."""
    values = take(table, where, key, list, [])
    if not all(isinstance(value, str) for value in values):
        raise SettingError(f"{where}{key}: expected a list of texts, found {values!r}")
    return tuple(values)


def leave_nothing(table: dict[str, Any], where: str) -> None:
    """Raise SettingError for the first key that was not taken."""
    if table:
        raise SettingError(f"{where}{next(iter(table))}: there is no such key")
