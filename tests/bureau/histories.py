# SPDX-License-Identifier: Apache-2.0
"""What was delivered about an enterprise, kept by a plain model: what an answer must say, computed naively.

The deliveries go through the real doors; the model keeps what it sent, and knows nothing of folios.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from sqlalchemy import select

from audit.models import entry
from bureau import amendments, answers, catalogue, publications, vault
from bureau.answers import Asked
from bureau.folios import Correction
from bureau.models import batch as batches
from bureau.open_batches import Receipt
from bureau.records import Row
from consent.question import CLASSES
from kernel import clock, db
from tests import factories


@dataclass(frozen=True)
class Told:
    """One delivered record: known since a publication; of one identity the latest stands."""

    publication: int
    dataset: str
    identity: str
    document: dict[str, Any]


@dataclass
class Laid:
    """One overlay, in force from `since` and before `until`."""

    id: str
    record: str
    correction: Correction
    since: int
    until: int | None = None


@dataclass
class History:
    """All that was told of one enterprise."""

    uscc: str
    told: list[Told] = field(default_factory=list)
    laid: list[Laid] = field(default_factory=list)
    names: list[tuple[int, str]] = field(default_factory=list)

    def deliver(self, rows: Sequence[Row], source: str = "S01") -> Receipt:
        """Deliver rows that are all accepted, and remember them."""
        receipt = factories.deliver(rows, source=source)
        assert receipt.rejected == 0, receipt.reasons
        with db.reading() as reading:
            held: Any = reading.execute(select(batches).where(batches.c.id == int(receipt.batch))).one()
        for row in rows:
            document = expected_record(row, held.id, clock.rfc3339(held.received_at), source)
            self.told.append(Told(held.publication, row.dataset, _identity(row, source), document))
            if row.dataset == "C1.01":
                self.names.append((held.publication, str(row.items["C1.01.01"])))
        return receipt

    def lay_over(self, record: str, correction: Correction) -> None:
        """Lay an overlay at the counter, and remember it."""
        with db.transaction() as tx:
            laid = amendments.amend(tx, self.uscc, record, correction, "a test")
            self.laid.append(Laid(laid, record, correction, publications.latest(tx)))

    def lift(self, laid: Laid) -> None:
        """End an overlay, from the next publication on."""
        with db.transaction() as tx:
            amendments.lift(tx, self.uscc, laid.id, "a test")
            laid.until = publications.latest(tx)

    def name_at(self, as_of: int) -> str | None:
        known = [name for publication, name in self.names if publication <= as_of]
        return known[-1] if known else None

    def classes_at(self, as_of: int, classes: Iterable[int] = CLASSES) -> list[dict[str, Any]]:
        """The member `classes` of an answer as of a publication."""
        known = catalogue.current()
        shown = []
        for number in sorted(classes):
            datasets = []
            for dataset in sorted({one.dataset for one in self.told}):
                if known.datasets[dataset].class_number == number and (records := self._standing(dataset, as_of)):
                    name = known.datasets[dataset].name_zh
                    datasets.append({"dataset": dataset, "name": name, "records": records})
            if datasets:
                shown.append({"class": number, "name": known.classes[number].name_zh, "datasets": datasets})
        return shown

    def _standing(self, dataset: str, as_of: int) -> list[dict[str, Any]]:
        told = [one for one in self.told if one.dataset == dataset and one.publication <= as_of]
        latest = {one.identity: place for place, one in enumerate(told)}
        standing = [one.document for place, one in enumerate(told) if latest[one.identity] == place]
        corrected = [self._corrected(document, as_of) for document in standing]
        return [document for document in corrected if document is not None]

    def _corrected(self, document: dict[str, Any], as_of: int) -> dict[str, Any] | None:
        over = [
            laid.correction
            for laid in self.laid
            if laid.record == document["id"] and laid.since <= as_of and (laid.until is None or laid.until > as_of)
        ]
        shown = dict(document)
        for kind, items, raw, event_date in over:
            if kind == "withdrawal":
                return None
            if kind == "dispute":
                shown["disputed"] = True
                continue
            told = {name: text for name, text in shown.get("raw", {}).items() if name not in (items or {})}
            shown = {name: value for name, value in shown.items() if name != "raw"}
            shown |= {"raw": {**told, **(raw or {})}} if told or raw else {}
            shown["items"] = {**shown["items"], **(items or {})}
            shown |= {"corrected": True, "event_date": event_date or shown["event_date"]}
        return shown


def expected_record(row: Row, batch: int, received_at: str, source: str) -> dict[str, Any]:
    """A row whose items are all right, as an answer shows it."""
    raw = {"raw": dict(row.raw)} if row.raw else {}
    return {
        "event_date": row.event_date,
        "id": f"{batch}.{row.number}.{row.dataset}",
        "items": dict(row.items),
        "received_at": received_at,
        "source": source,
        **raw,
    }


def answer(enterprise: str, classes: Iterable[int] = CLASSES, as_of: int = vault.LATEST) -> bytes:
    """The body of an answer, made straight from the vault."""
    with db.reading() as reading:
        dossier = vault.open_dossier(reading, enterprise, classes, as_of)
    return answers.records(Asked("a-query", enterprise, "pre_loan", "records", "a-consent"), dossier).body


def entries(*types: str) -> list[dict[str, Any]]:
    """The documents on the trail, oldest first; of some types only."""
    with db.reading() as reading:
        kept = [orjson.loads(leaf) for leaf in reading.scalars(select(entry.c.bytes).order_by(entry.c.time))]
    return [document for document in kept if not types or document["type"] in types]


def electricity(number: int, enterprise: str, month: str = "2024-01", used: str = "1200.5", **items: Any) -> Row:
    """A delivered row of C2.01, a period dataset: one record an account and month."""
    known = {"C2.01.01": "0512-1", "C2.01.04": used, "C2.01.05": 84_035, "C2.01.10": False}
    return Row(number, enterprise, "C2.01", f"{month}-01", {**known, **items})


def case_filed(number: int, enterprise: str, case: str = "(2024)演示民初1号", **items: Any) -> Row:
    """A delivered row of C5.01, an event dataset: every different record stands."""
    known = {"C5.01.01": case, "C5.01.02": "买卖合同纠纷", "C5.01.04": "2024-03-05", "C5.01.07": 12_345_600}
    return Row(number, enterprise, "C5.01", "2024-03-05", {**known, **items})


def _identity(row: Row, source: str) -> str:
    """What a record is told apart by: the catalogue's key of its dataset, or all of an event."""
    dataset = catalogue.current().datasets[row.dataset]
    if dataset.kind == "event":
        return repr((source, row.event_date, sorted(row.items.items())))
    return repr((source, [row.event_date if key == "event_date" else row.items[key] for key in dataset.key_items]))


def held_by_batch(codes: Iterable[str], number: int) -> dict[str, tuple[set[str], int, str]]:
    """Of some enterprises in one class, by batch: record ids without it, how many, and a digest of what they say."""
    found: dict[str, list[tuple[str, bytes]]] = {}
    for code in codes:
        with db.reading() as reading:
            regions = vault.open_dossier(reading, code, (number,)).regions.get(number, ())
        for record in (orjson.loads(one.body) for region in regions for one in region.entries()):
            batch, _, within = record.pop("id").partition(".")
            del record["received_at"]
            found.setdefault(batch, []).append((within, orjson.dumps([code, within, record])))
    return {
        batch: (
            {within for within, _ in held},
            len(held),
            hashlib.sha256(b"".join(told for _, told in sorted(held))).hexdigest(),
        )
        for batch, held in found.items()
    }
