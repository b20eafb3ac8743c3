# SPDX-License-Identifier: Apache-2.0
"""What the bureau allows whatever an enterprise consents to: limits by purpose, read from `policy.toml`.

Of consent and policy the stricter wins, at the grant (`require_grantable`) and again at each question
(`consent.decision`). A refusal names the rule, as `pre_loan.longest_validity_days`, and its limit.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from consent.question import CLASSES, PRODUCTS, PURPOSES
from consent.terms import PERIODS, Frequency, Grant
from kernel.errors import Invalid, SettingError

SHIPPED = Path(__file__).parent / "policy.toml"
_KEYS = {"longest_validity_days", "widest_history_months", "highest_frequency", "products", "classes"}


@dataclass(frozen=True, slots=True)
class Rules:
    """The limits of one purpose. None: no limit."""

    purpose: str
    longest_validity: timedelta
    products: tuple[str, ...]
    classes: tuple[int, ...]
    widest_history_months: int | None = None
    highest_frequency: Frequency | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    version: str
    request_life: timedelta
    purposes: Mapping[str, Rules]


def load(path: Path) -> Policy:
    """A policy from its file; raises SettingError naming file, purpose and key."""
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SettingError(f"{path}: {error}") from error
    try:
        if missing := set(PURPOSES) ^ set(found["purposes"]):
            raise ValueError(f"purposes must be exactly {', '.join(PURPOSES)}; see {', '.join(sorted(missing))}")
        rules = {purpose: _rules(purpose, table) for purpose, table in found["purposes"].items()}
        return Policy(str(found["version"]), timedelta(days=_natural(found, "request_life_days")), rules)
    except KeyError as error:
        raise SettingError(f"{path}: {error.args[0]} is missing") from error
    except ValueError as error:
        raise SettingError(f"{path}: {error}") from error


@cache
def current() -> Policy:
    """The policy of this process."""
    return load(_path)


def use(path: Path) -> None:
    """Take the policy from another file; raises SettingError where it is none."""
    global _path
    load(path)
    _path = path
    current.cache_clear()


def require_grantable(given: Grant, begins: datetime) -> None:
    """Raise Invalid (`beyond-policy`) where a grant goes beyond what the policy allows for all its purposes.

    The strictest purpose decides on validity, history and frequency. Products and classes are judged at the
    question, because each purpose has its own; a grant under which nothing could ever be asked is refused here.
    """
    if given.scope == "query":
        _require_of_use(given)
    for purpose in given.purposes:
        rules = current().purposes[purpose]
        if given.expires_at is not None and given.expires_at - begins > rules.longest_validity:
            raise _beyond(purpose, "longest_validity_days", rules.longest_validity.days, "expires_at")
        if (widest := rules.widest_history_months) and given.history_months and given.history_months > widest:
            raise _beyond(purpose, "widest_history_months", widest, "history")
        highest, asked = rules.highest_frequency, given.frequency
        if highest and asked and asked.per == highest.per and asked.count > highest.count:
            raise _beyond(purpose, "highest_frequency", str(highest), "frequency")


def _require_of_use(given: Grant) -> None:
    rules = [current().purposes[purpose] for purpose in given.purposes]
    for name in ("products", "classes"):
        if not any(set(getattr(given, name)) & set(getattr(each, name)) for each in rules):
            allowed = ", ".join(str(one) for one in getattr(rules[0], name))
            raise _beyond(rules[0].purpose, name, allowed, name)


def _beyond(purpose: str, key: str, limit: int | str, field: str) -> Invalid:
    rule = f"{purpose}.{key}"
    told = f"the bureau's policy allows at most {limit} ({rule})"
    error = Invalid(told, errors={field: [told]}, slug="beyond-policy")
    error.extra |= {"rule": rule, "limit": limit}
    return error


def _rules(purpose: str, table: Mapping[str, Any]) -> Rules:
    if unknown := set(table) - _KEYS:
        raise ValueError(f"{purpose}.{min(unknown)}: unknown; known are {', '.join(sorted(_KEYS))}")
    products, classes = tuple(table["products"]), tuple(table["classes"])
    if not products or set(products) - set(PRODUCTS) or not classes or set(classes) - set(CLASSES):
        raise ValueError(f"{purpose}: products are of {', '.join(PRODUCTS)}, classes of 1 to 7, at least one of each")
    months = _natural(table, "widest_history_months", purpose) if "widest_history_months" in table else None
    frequency = None
    if "highest_frequency" in table:
        per = table["highest_frequency"].get("per")
        if per not in PERIODS:
            raise ValueError(f"{purpose}.highest_frequency.per: one of {', '.join(PERIODS)}")
        frequency = Frequency(_natural(table["highest_frequency"], "count", purpose), per)
    days = timedelta(days=_natural(table, "longest_validity_days", purpose))
    return Rules(purpose, days, products, tuple(sorted(classes)), months, frequency)


def _natural(table: Mapping[str, Any], key: str, where: str = "") -> int:
    value = table[key]
    if type(value) is not int or not 0 < value < 1_000_000:
        raise ValueError(f"{where}.{key}: a whole number from 1".lstrip("."))
    return value


_path = SHIPPED
