# SPDX-License-Identifier: Apache-2.0
"""The conditions of a screening, read and checked: each fault names its path, the field and what is allowed. Pure."""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches
from typing import Any

import orjson

from bureau import indicators
from kernel.errors import Invalid

MAX_DEPTH = 6
MAX_CONDITIONS = 40
MAX_GROUPS = 40
MAX_BYTES = 16_384  # of conditions and order together, as JSON: they stand on the page's entry
MAX_VALUES = 200  # of one `in`
MAX_SORTS = 5
MAX_TEXT = 64
GROUPS = ("all", "any")
ORDERED = ("gte", "gt", "lte", "lt", "between", "top_percent")
OPERATORS = ("eq", "ne", "in", *ORDERED, "prefix", "missing")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
ALLOWED = {
    "number": ("eq", "ne", "in", *ORDERED, "missing"),
    "integer": ("eq", "ne", "in", *ORDERED, "missing"),
    "date": ("eq", "ne", "in", *ORDERED, "missing"),
    "boolean": ("eq", "ne", "missing"),
    "category": ("eq", "ne", "in", "prefix", "missing"),
}


@dataclass(frozen=True, slots=True)
class Condition:
    """One indicator compared: numbers, dates as their ordinals, flags as 1 and 0; categories as text."""

    indicator: str
    operator: str
    value: Any


@dataclass(frozen=True, slots=True)
class Group:
    """`all`, `any` or `not` (of exactly one) of its members."""

    kind: str
    members: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Sort:
    indicator: str
    desc: bool


Node = Condition | Group


def parse(where: Any) -> Node:
    """The tree of a `where`; raises Invalid at its first fault."""
    counted = {"conditions": 0, "groups": 0}

    def count(what: str, most: int, path: str) -> None:
        counted[what] += 1
        if counted[what] > most:
            raise _fault(path, f"a screening may have {most} {what} at most")

    def node(found: Any, path: str, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise _fault(path, f"groups may be nested {MAX_DEPTH} deep at most")
        if not isinstance(found, Mapping):
            raise _fault(path, "must be an object: a condition, or a group all, any or not")
        for kind in GROUPS:
            if kind in found:
                count("groups", MAX_GROUPS, path)
                _only(found, {kind}, path)
                if not isinstance(found[kind], list):
                    raise _fault(f"{path}/{kind}", "must be a list of conditions")
                return Group(
                    kind, tuple(node(each, f"{path}/{kind}/{n}", depth + 1) for n, each in enumerate(found[kind]))
                )
        if "not" in found:
            count("groups", MAX_GROUPS, path)
            _only(found, {"not"}, path)
            return Group("not", (node(found["not"], f"{path}/not", depth + 1),))
        if "indicator" not in found:
            raise _fault(path, "must have an indicator and an operator, or be a group all, any or not")
        count("conditions", MAX_CONDITIONS, path)
        return _condition(found, path)

    return node(where, "where", 0)


def parse_sort(sort: Any) -> tuple[Sort, ...]:
    """The order asked for; raises Invalid."""
    if not isinstance(sort, list) or len(sort) > MAX_SORTS:
        raise _fault("sort", f"must be a list of at most {MAX_SORTS}")
    for n, each in enumerate(sort):
        if not isinstance(each, Mapping) or not isinstance(each.get("desc", False), bool):
            raise _fault(f"sort/{n}", 'must be an object such as {"indicator": "BASIC.AGE_YEARS", "desc": true}')
        _only(each, {"indicator", "desc"}, f"sort/{n}")
        _known(each.get("indicator"), f"sort/{n}")
    return tuple(Sort(each["indicator"], each.get("desc", False)) for each in sort)


def said(where: Any, sort: Any) -> str:
    """Conditions and order as the entry has them; raises Invalid beyond MAX_BYTES."""
    text = orjson.dumps({"where": where, "sort": sort})
    if len(text) > MAX_BYTES:
        raise _fault("where", f"conditions and order may have {MAX_BYTES} bytes at most, as JSON")
    return text.decode()


def named(node: Node) -> list[str]:
    """The indicators that conditions name, in order, each once."""
    if isinstance(node, Condition):
        return [node.indicator]
    return list(dict.fromkeys(code for member in node.members for code in named(member)))


def _condition(found: Mapping[str, Any], path: str) -> Condition:
    indicator = _known(found.get("indicator"), path)
    said = [name for name in found if name != "indicator"]
    if len(said) != 1 or said[0] not in OPERATORS:
        raise _fault(path, f"must have exactly one operator of {', '.join(OPERATORS)}")
    operator = said[0]
    if operator not in ALLOWED[indicator.type]:
        allowed = ", ".join(ALLOWED[indicator.type])
        raise _fault(f"{path}/{operator}", f"{indicator.code} is of type {indicator.type}, which takes {allowed}")
    place = f"{path}/{operator}"
    return Condition(indicator.code, operator, _value(found[operator], operator, indicator.type, place))


def _value(given: Any, operator: str, kind: str, path: str) -> Any:
    read = _READ[kind]
    if operator == "missing":
        if not isinstance(given, bool):
            raise _fault(path, "must be true or false")
        return given
    if operator == "top_percent":
        share = _number(given, path)
        if not 0 < share <= 100:
            raise _fault(path, "must be a number above 0 and up to 100")
        return share
    if operator == "between":
        if not isinstance(given, list) or len(given) != 2:
            raise _fault(path, "must be a list of two, the lower first")
        low, high = (read(each, path) for each in given)
        if low > high:
            raise _fault(path, "the lower value must come first")
        return (low, high)
    if operator == "in":
        if not isinstance(given, list) or not 1 <= len(given) <= MAX_VALUES:
            raise _fault(path, f"must be a list of 1 to {MAX_VALUES} values")
        return tuple(read(each, path) for each in given)
    return read(given, path)


def _known(code: Any, path: str) -> indicators.Indicator:
    found = indicators.ALL.get(code) if isinstance(code, str) else None
    if found is None:
        near = get_close_matches(code.upper()[:MAX_TEXT], indicators.ALL, 3) if isinstance(code, str) else ()
        meant = f"; did you mean {' or '.join(near)}?" if near else ""
        raise _fault(f"{path}/indicator", f"unknown indicator: GET /v1/indicators lists them{meant}")
    return found


def _only(found: Mapping[str, Any], allowed: set[str], path: str) -> None:
    if more := set(found) - allowed:
        raise _fault(path, f"has members that do not belong here: {', '.join(sorted(map(str, more)))[:200]}")


def _number(given: Any, path: str) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float) or not math.isfinite(given):
        raise _fault(path, "must be a number")
    return float(given)


def _flag(given: Any, path: str) -> float:
    if not isinstance(given, bool):
        raise _fault(path, "must be true or false")
    return float(given)


def _day(given: Any, path: str) -> float:
    try:
        if _DAY.fullmatch(given):
            return float(date.fromisoformat(given).toordinal())
    except (TypeError, ValueError):
        pass
    raise _fault(path, "must be a day such as 2026-11-24")


def _text(given: Any, path: str) -> str:
    if not isinstance(given, str) or not 1 <= len(given) <= MAX_TEXT:
        raise _fault(path, f"must be a text of 1 to {MAX_TEXT} characters")
    return given


_READ: dict[str, Callable[[Any, str], Any]] = {
    "number": _number,
    "integer": _number,
    "boolean": _flag,
    "date": _day,
    "category": _text,
}


def _fault(path: str, told: str) -> Invalid:
    return Invalid(f"{path}: {told}", errors={path: [told]}, slug="invalid-condition")
