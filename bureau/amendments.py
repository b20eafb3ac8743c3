# SPDX-License-Identifier: Apache-2.0
"""Amendments: a record that was delivered wrong is corrected or withdrawn, by an overlay, for answers from now on.

Its source amends its own records, by rows of a delivery; the bureau amends any, saying why (征信业务管理办法
Art. 18-20). Either way the record stays as delivered, answers as of an earlier publication keep their bytes, and
what was changed, by whom and why is on the trail. A key is not corrected: such a record is withdrawn, and the right
one delivered.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Connection

from access.lifecycle import COUNTER, Act
from audit import trail
from audit.events import Event
from bureau import catalogue, folios, identities, overlays, rules, vault
from bureau.catalogue import Dataset
from bureau.folios import Correction, Region
from bureau.judging import FITS, Accepted, Rejected
from bureau.overlays import Laid
from bureau.publications import publish
from bureau.records import Value
from bureau.sums import Held
from kernel import ids
from kernel.errors import Conflict, Invalid, NotFound

KINDS = {"correct": "correction", "withdraw": "withdrawal"}


class Amended(NamedTuple):
    """What became of a source's amendments: what was laid, which rows named no record, how many said nothing new."""

    held: Held
    refused: Mapping[int, Rejected]  # by row number
    repeated: int


def from_source(tx: Connection, batch: int, source: str, acts: Sequence[Accepted]) -> Amended:
    """Lay what a source's rows amend; it holds from its batch's publication on. The caller commits.

    A row is refused with one reason where it names no published record, another source's, or one that was withdrawn.
    """
    laid: list[Laid] = []
    refused: dict[int, Rejected] = {}
    repeated = 0
    by_enterprise = sorted(acts, key=lambda one: (one.row.uscc, one.row.number))
    for uscc, rows in groupby(by_enterprise, key=lambda one: one.row.uscc):
        ours = list(rows)
        classes = {catalogue.current().datasets[one.row.dataset].class_number for one in ours}
        dossier = vault.open_dossier(tx, uscc, classes)
        above = {record: list(held) for record, held in dossier.corrections.items()}
        for earlier in overlays.brought(tx, uscc, batch):
            above.setdefault(earlier.record, []).append(earlier.correction)
        for one in ours:
            dataset = catalogue.current().datasets[one.row.dataset]
            record = _named(dossier.regions.get(dataset.class_number, ()), one, dataset, source)
            over = above.setdefault(record["id"], []) if record else []
            if reason := _refusal(record, over, one, dataset, source):
                refused[one.row.number] = Rejected(one.row.number, reason, one.row.delivered, uscc)
                continue
            assert record is not None
            correction = _correction(one, dataset)
            if folios.laid_over(record, over) == folios.laid_over(record, [*over, correction]):
                repeated += 1
                continue
            over.append(correction)
            laid.append(Laid(uscc, f"{batch:010}.{one.row.number:015}", record["id"], correction))
    return Amended(overlays.write(tx, laid, batch=batch), refused, repeated)


def amend(tx: Connection, uscc: str, record_id: str, correction: Correction, reason: str, by: Act = COUNTER) -> str:
    """Correct, mark or withdraw a record from now on, on the trail. Returns the overlay's id. The caller commits.

    Raises NotFound for a record that the enterprise has not, Invalid for items that do not fit it, Conflict where it
    was withdrawn.
    """
    record, over = require_record(tx, uscc, record_id)
    if folios.laid_over(record, over) is None:
        raise Conflict(f"{record_id} was withdrawn: lift that first", slug="record-withdrawn")
    dataset = catalogue.current().datasets[dataset_of(record_id)]
    _check_items(dataset, correction)
    if _breaks_a_rule(record, [*over, correction], dataset):
        raise Invalid("the record as corrected would break a rule of its dataset (bureau/rules.csv)")
    since, _ = publish(tx, "overlay")
    laid = Laid(uscc, ids.new_id(), record_id, correction)
    held = overlays.write(tx, [laid], since=since)
    detail: dict[str, Any] = {"overlay": laid.id, "kind": correction.kind, "record": record_id, "reason": reason}
    _append(tx, Event.OVERLAY_LAID, uscc, dataset, since, {**detail, "overlays": held.told}, by)
    return laid.id


def lift(tx: Connection, uscc: str, overlay_id: str, reason: str, by: Act = COUNTER) -> None:
    """Let an overlay hold no longer, on the trail. The caller commits. Raises NotFound where none holds."""
    lying = {one.id: one for one in overlays.lying(tx, uscc) if one.until is None}
    if overlay_id not in lying:
        raise NotFound(f"no overlay {overlay_id} lies on a record of {uscc}")
    until, _ = publish(tx, "overlay")
    if not overlays.end(tx, uscc, overlay_id, until):
        raise Conflict(f"overlay {overlay_id} was lifted by another meanwhile", slug="overlay-lifted")
    record_id = lying[overlay_id].record
    dataset = catalogue.current().datasets[dataset_of(record_id)]
    detail = {"overlay": overlay_id, "record": record_id, "reason": reason}
    _append(tx, Event.OVERLAY_LIFTED, uscc, dataset, until, detail, by)


def require_record(tx: Connection, uscc: str, record_id: str) -> tuple[dict[str, Any], Sequence[Correction]]:
    """A published record as it was delivered, and what lies over it now. Raises NotFound."""
    code = dataset_of(record_id)
    if code in catalogue.current().datasets:
        number = catalogue.current().datasets[code].class_number
        dossier = vault.open_dossier(tx, uscc, [number])
        if record := _by_id(dossier.regions.get(number, ()), code, record_id):
            return record, dossier.corrections.get(record_id, ())
    raise NotFound(f"no record {record_id} of {uscc} is on file")


def dataset_of(record_id: str) -> str:
    """The dataset in a record id such as `42.17.C1.01`; something else where it is no such id."""
    return record_id.split(".", 2)[-1]


def _append(
    tx: Connection, event: Event, uscc: str, dataset: Dataset, publication: int, detail: dict[str, Any], by: Act
) -> None:
    said = trail.Entry(
        type=event,
        actor=by.actor,
        channel=by.channel,
        uscc=uscc,
        classes=(dataset.class_number,),
        publication=publication,
        detail=detail,
    )
    trail.append(tx, said)


def _check_items(dataset: Dataset, correction: Correction) -> None:
    """Raise Invalid for items that the dataset has not, that do not fit their type, or that are its key."""
    faults: dict[str, list[str]] = {}
    types = {item.code: item for item in dataset.items}
    for name, value in (correction.items or {}).items():
        if name not in types:
            faults[name] = [f"not an item of {dataset.code}"]
        elif name in dataset.key_items:
            faults[name] = ["in the record's key: withdraw it, and have the right one delivered"]
        elif value is not None and not FITS[types[name].type](value):
            faults[name] = [f"not a {types[name].type}"]
    if correction.kind == "correction" and not correction.items:
        faults["items"] = ["name at least one"]
    if faults:
        raise Invalid("the correction does not fit the record", errors=faults)


def _refusal(
    record: Mapping[str, Any] | None, over: Iterable[Correction], one: Accepted, dataset: Dataset, source: str
) -> str | None:
    """Why a source may not amend what a row names, or None."""
    if record is None:
        return "no-such-record"
    if record["source"] != source:
        return "record-of-another-source"
    if one.row.act == "correct":
        if folios.laid_over(record, over) is None:
            return "record-withdrawn"
        keys = [name for name in dataset.key_items if name in one.items]
        if any(one.items[name] != record["items"].get(name) for name in keys):
            return "key-not-correctable"
        if _breaks_a_rule(record, [*over, _correction(one, dataset)], dataset):
            return "breaks-a-rule"
    return None


def _breaks_a_rule(record: Mapping[str, Any], over: Iterable[Correction], dataset: Dataset) -> bool:
    """Whether the record breaks one with what lies over it that it does not break by itself."""
    shown = folios.laid_over(record, over)
    before = rules.broken(dataset.code, record["items"])
    return shown is not None and bool(rules.broken(dataset.code, shown["items"]).items() - before.items())


def _named(regions: Iterable[Region], one: Accepted, dataset: Dataset, source: str) -> dict[str, Any] | None:
    """The published record that a row names: by id, or the latest one with its key."""
    if one.row.record:
        return _by_id(regions, dataset.code, one.row.record)
    identity = identities.of_key(dataset, source, one.row.event_date, one.items)
    found = None
    for region in regions:
        if region.dataset == dataset.code and identity in region.identities:
            found = next((entry for entry in reversed(list(region.entries())) if entry.identity == identity), found)
    return orjson.loads(found.body) if found else None


def _by_id(regions: Iterable[Region], code: str, record_id: str) -> dict[str, Any] | None:
    told = b'"id":%b' % orjson.dumps(record_id)  # inside a text its quotes would be escaped
    for region in regions:
        if region.dataset == code and told in bytes(region.body):
            for entry in region.entries():
                if told in entry.body:
                    return orjson.loads(entry.body)  # type: ignore[no-any-return]
    return None


def _correction(one: Accepted, dataset: Dataset) -> Correction:
    if one.row.act == "withdraw":
        return Correction("withdrawal")
    items: dict[str, Value] = {name: value for name, value in one.items.items() if name not in dataset.key_items}
    raw = {name: text for name, text in one.row.raw.items() if name in items}
    event_date = None if "event_date" in dataset.key_items else one.row.event_date
    return Correction("correction", items, raw or None, event_date)
