# SPDX-License-Identifier: Apache-2.0
"""The textbook build's rows, taken from the bureau's own answers; and the check that both answer alike."""

import http.client
import secrets
from collections.abc import Iterator
from typing import Any

import orjson
import psycopg
from sqlalchemy import create_engine

from bench.house import COMPACTED, House
from bench.load import OPERATOR, PRODUCT, PURPOSE
from bench.textbook import Audit, Base, Record
from bureau import answers, vault
from bureau.answers import Asked
from consent.question import CLASSES
from kernel import db

CHECKED = 3  # enterprises whose two answers are compared
ITS_OWN = ("query_id", "receipt", "as_of")  # what two answers to one question never share


def fill(house: House) -> int:
    """Make the textbook's tables anew, a row for each record that the bureau would tell. Returns how many."""
    engine = create_engine(house.server.url(COMPACTED))
    own = [Record.__table__, Audit.__table__]
    Base.metadata.drop_all(engine, own)
    Base.metadata.create_all(engine, own)
    engine.dispose()
    count = 0
    columns = "number, id, uscc, class_number, dataset, source, event_date, received_at, items, raw"
    with psycopg.connect(house.server.url(COMPACTED), autocommit=True) as connection:
        statement = f"COPY textbook_record ({columns}) FROM STDIN"
        with connection.cursor() as cursor, cursor.copy(statement) as copy:
            for count, row in enumerate(_rows(house), 1):
                copy.write_row((count, *row))
        connection.execute("VACUUM (ANALYZE) textbook_record")
    return count


def require_same_answers(house: House, ours: int, textbook: int) -> None:
    """Raise RuntimeError unless both servers answer alike: every class, dataset, record and item."""
    bearer = house.bearers()[0]
    for uscc in house.usccs[:CHECKED]:
        first, second = (_comparable(_ask(port, bearer, uscc)) for port in (ours, textbook))
        if first != second:
            raise RuntimeError(f"the two builds answer differently about {uscc}: no fair comparison")


def _rows(house: House) -> Iterator[tuple[Any, ...]]:
    for uscc in house.usccs:
        with db.reading() as reading:
            dossier = vault.open_dossier(reading, uscc, CLASSES)
        produced = answers.records(Asked("", uscc, PURPOSE, PRODUCT, ""), dossier)
        for of_class in orjson.loads(produced.body)["classes"]:
            for of_dataset in of_class["datasets"]:
                for record in of_dataset["records"]:
                    documents = (orjson.dumps(record.get(name, {})).decode() for name in ("items", "raw"))
                    place = uscc, of_class["class"], of_dataset["dataset"]
                    times = record["event_date"], record["received_at"]
                    yield record["id"], *place, record["source"], *times, *documents


def _ask(port: int, bearer: str, uscc: str) -> dict[str, Any]:
    body = orjson.dumps({"uscc": uscc, "purpose": PURPOSE, "product": PRODUCT, "operator": OPERATOR})
    headers = {
        "Authorization": f"Bearer {bearer}",
        "Content-Type": "application/json",
        "Idempotency-Key": secrets.token_hex(16),
    }
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("POST", "/v1/credit-queries", body, headers)
    response = connection.getresponse()
    answer: dict[str, Any] = orjson.loads(response.read())
    connection.close()
    if response.status != 200:
        raise RuntimeError(f"port {port} answered {response.status}: {answer}")
    return answer


def _comparable(answer: dict[str, Any]) -> dict[str, Any]:
    """An answer without what is its own; one build writes Z, the other +00:00, and an empty `raw`."""
    for of_class in answer["classes"]:
        for of_dataset in of_class["datasets"]:
            for record in of_dataset["records"]:
                record["received_at"] = record["received_at"][:19]
                record.setdefault("raw", {})
    return {name: value for name, value in answer.items() if name not in ITS_OWN}
