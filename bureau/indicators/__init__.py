# SPDX-License-Identifier: Apache-2.0
"""Indicators (指标): derived values of an enterprise in twelve classes, each a pure function of its dossier.

The twelve classes and what is in them are our own proposal (requirements 1.5; G4 asks only for "12 大类多指标").
`ALL` describes each once; `compute` gives an enterprise's values (which of their zeros count is settled once all
enterprises are known: `bureau.screening.sheets`).
"""

from collections.abc import Mapping
from datetime import date

from bureau import standing
from bureau.indicators.facts import Facts, Rule, Value
from bureau.indicators.kinds import CLASSES, Indicator
from bureau.indicators.listed import listed
from bureau.vault import Dossier

ALL: Mapping[str, Indicator] = listed()

__all__ = ["ALL", "CLASSES", "Facts", "Indicator", "Rule", "Value", "compute", "facts_of"]


def facts_of(dossier: Dossier, as_of: date) -> Facts:
    """The standing records of an opened dossier, corrections laid over."""
    return Facts(as_of, standing.records(dossier))


def compute(facts: Facts) -> list[Value]:
    """The values of all indicators, in their order."""
    return [each.rule.compute(facts) for each in ALL.values()]
