# SPDX-License-Identifier: Apache-2.0
"""Indicators (指标): derived values of an enterprise in twelve classes, each a pure function of its dossier.

The twelve classes and what is in them are our own proposal (requirements 1.5; G4 asks only for "12 大类多指标").
`ALL` describes each once; `compute` gives an enterprise's values (which of their zeros count is settled once all
enterprises are known: `bureau.screening.sheets`).
"""

from collections.abc import Mapping, Sequence
from datetime import date

import orjson

from bureau import folios
from bureau.indicators.facts import Facts, Record, Rule, Value
from bureau.indicators.kinds import CLASSES, Indicator
from bureau.indicators.listed import listed
from bureau.vault import Dossier

ALL: Mapping[str, Indicator] = listed()

__all__ = ["ALL", "CLASSES", "Facts", "Indicator", "Rule", "Value", "compute", "facts_of"]


def facts_of(dossier: Dossier, as_of: date) -> Facts:
    """The standing records of an opened dossier, corrections laid over."""
    records: dict[str, Sequence[Record]] = {}
    for regions in dossier.regions.values():
        for dataset, _, pieces in folios.splice(regions, dossier.publication, dossier.corrections, dossier.cutoff):
            held: list[Record] = orjson.loads(b"".join((b"[", b",".join(pieces), b"]")))
            records[dataset] = sorted(held, key=lambda record: record["event_date"] or "")
    return Facts(as_of, records)


def compute(facts: Facts) -> list[Value]:
    """The values of all indicators, in their order."""
    return [each.rule.compute(facts) for each in ALL.values()]
