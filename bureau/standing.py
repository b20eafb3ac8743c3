# SPDX-License-Identifier: Apache-2.0
"""The standing records of an opened dossier as values: what stands as of its publication, corrections laid over."""

from collections.abc import Collection, Sequence

import orjson

from bureau import folios
from bureau.records import Record
from bureau.vault import Dossier


def records(dossier: Dossier, datasets: Collection[str] | None = None) -> dict[str, Sequence[Record]]:
    """Its records by dataset (of some datasets only), the oldest event first."""
    found: dict[str, Sequence[Record]] = {}
    for held in dossier.regions.values():
        wanted = held if datasets is None else [region for region in held if region.dataset in datasets]
        for dataset, _, pieces in folios.splice(wanted, dossier.publication, dossier.corrections, dossier.cutoff):
            of_one: list[Record] = orjson.loads(b"".join((b"[", b",".join(pieces), b"]")))
            found[dataset] = sorted(of_one, key=lambda record: record["event_date"] or "")
    return found
