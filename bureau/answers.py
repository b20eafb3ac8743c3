# SPDX-License-Identifier: Apache-2.0
"""The product `records`: an enterprise's records as an institution receives them. Pure: dossier in, bytes out."""

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import NamedTuple

import orjson

from bureau import catalogue, folios
from bureau.vault import Dossier
from kernel import clock

Standing = tuple[str, int, Sequence[bytes | memoryview]]


class Asked(NamedTuple):
    """What an answer repeats of its question."""

    query_id: str
    uscc: str
    purpose: str
    product: str
    consent_id: str | None  # None: an enterprise asks about itself
    since: str | None = None  # a day: events before it are left out (the consent's or the policy's history)


class Produced(NamedTuple):
    """An answer's body, exactly as it is sent and hashed, and how many records it tells."""

    body: bytes
    records: int


def records(asked: Asked, dossier: Dossier) -> Produced:
    """All records that stand in the opened classes, spliced from the folios: not parsed, and copied once."""
    cutoff = dossier.cutoff
    body, count = [_head(asked, dossier)], 0
    for number in sorted(dossier.regions):
        standing = list(folios.splice(dossier.regions[number], dossier.publication, dossier.corrections, cutoff))
        if asked.since is not None:
            standing = list(_recent(standing, asked.since))
        if not standing:
            continue
        body.append(_class_head(number))
        for dataset, held, pieces in standing:
            body.append(_dataset_head(dataset))
            for piece in pieces:
                body += (piece, b",")
            body[-1] = b"]},"
            count += held
        body[-1] = b"]}]},"
    if count:
        body[-1] = b"]}]}"
    body.append(b'],"receipt":%b}' % _json(f"/v1/audit/receipts/{asked.query_id}"))
    return Produced(b"".join(body), count)


def _recent(standing: Iterable[Standing], since: str) -> Iterator[Standing]:
    """What is left of datasets when events before a day are left out; what holds till replaced is not cut."""
    for dataset, count, pieces in standing:
        if catalogue.current().datasets[dataset].kind == "state":
            yield dataset, count, pieces
            continue
        kept = [
            orjson.dumps(record, option=orjson.OPT_SORT_KEYS)
            for piece in pieces
            for record in orjson.loads(b"".join((b"[", piece, b"]")))
            if record["event_date"] is None or record["event_date"] >= since
        ]
        if kept:
            yield dataset, len(kept), kept


def _head(asked: Asked, dossier: Dossier) -> bytes | memoryview:
    head = {
        "query_id": asked.query_id,
        "uscc": asked.uscc,
        "name": dossier.name,
        "as_of": {"publication": dossier.publication, "time": clock.rfc3339(dossier.time)},
        "product": asked.product,
        "purpose": asked.purpose,
        "consent_id": asked.consent_id,
    }
    return b'%b,"classes":[' % _json(head)[:-1]


@cache
def _class_head(number: int) -> bytes:
    return b'{"class":%d,"name":%b,"datasets":[' % (number, _json(catalogue.current().classes[number].name_zh))


@cache
def _dataset_head(dataset: str) -> bytes:
    return b'{"dataset":%b,"name":%b,"records":[' % (
        _json(dataset),
        _json(catalogue.current().datasets[dataset].name_zh),
    )


def _json(value: object) -> bytes:
    return orjson.dumps(value)
