# SPDX-License-Identifier: Apache-2.0
"""Indicators (指标): derived values of an enterprise in twelve classes, each a pure function of its dossier.

The twelve classes and what is in them are our own proposal (requirements 1.5; G4 asks only for "12 大类多指标").
`ALL` describes each once; `compute` gives an enterprise's values; `settle` says which zeros count.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import date

import orjson

from bureau import folios
from bureau.indicators.facts import Facts, Record, Rule, Value
from bureau.indicators.kinds import CLASSES, Indicator
from bureau.indicators.listed import listed
from bureau.vault import Dossier

ALL: Mapping[str, Indicator] = listed()

__all__ = ["ALL", "CLASSES", "Facts", "Indicator", "Rule", "Value", "compute", "facts_of", "settle"]


def facts_of(dossier: Dossier, as_of: date) -> Facts:
    """The standing records of an opened dossier, corrections laid over."""
    records: dict[str, Sequence[Record]] = {}
    for regions in dossier.regions.values():
        for dataset, _, pieces in folios.splice(regions, dossier.publication, dossier.corrections):
            held: list[Record] = orjson.loads(b"".join((b"[", b",".join(pieces), b"]")))
            records[dataset] = sorted(held, key=lambda record: record["event_date"] or "")
    return Facts(as_of, records)


def compute(facts: Facts) -> list[Value]:
    """The values of all indicators, in their order."""
    return [each.rule.compute(facts) for each in ALL.values()]


def settle(values: Sequence[Value], supplied: Collection[str]) -> list[Value]:
    """Take back the zeros of counts whose dataset is not supplied: of what nobody tells, nothing is known.

    `supplied`: the datasets of which the bureau has ever had a record, but a lender's only where the enterprise
    lets the bureau collect (else no lender may tell, 条例 Art. 29(2)).
    """
    return [
        None if each.rule.presumes is not None and each.rule.presumes not in supplied and value == 0 else value
        for each, value in zip(ALL.values(), values, strict=True)
    ]
