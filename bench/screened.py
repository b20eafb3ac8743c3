# SPDX-License-Identifier: Apache-2.0
"""The bureau that is screened: its index and its consents written as they would be, and its pages asked over HTTP."""

import http.client
import itertools
import time
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any

import numpy as np
import orjson
from sqlalchemy import Engine, insert

from access import clients, institutions, tokens
from app import database
from bench.firms import Firms
from bench.house import House
from bureau import indicators
from bureau.models import screening_build, screening_sheet, screening_version
from bureau.screening import columns, versions
from bureau.screening.sheets import Sheet
from kernel import clock, db, ids, keys, signing

SCREENED = "screened"
A_SHEET = 4_096
READY_WITHIN_S = 120.0


def fill(house: House, engine: Engine, firms: Firms) -> tuple[str, str]:
    """A bureau's database with the index and the consents to a bank: its id, and a token of its client."""
    root = keys.read_root(house.root_key)
    database.migrate(engine)
    database.begin(engine, root)
    db.use(engine)
    with db.reading() as reading:
        keys.use(keys.open_purpose_keys(reading, root))
        signing.open_signers(reading)
    with db.transaction() as tx:
        bank = institutions.add(tx, "演示银行", "bank")
        client_id, _ = clients.add(tx, bank, ("screening:search",), per_second=1_000_000)
        bearer = tokens.issue(tx, frozenset({"screening:search"}), tokens.CLIENT_TOKEN_LIFE, client_id=client_id)[0]
        now = clock.now()
        tx.execute(insert(screening_build).values(id=1, publication=0, begun_at=now, rules="bench"))
        supplied = frozenset(each.rule.presumes for each in indicators.ALL.values() if each.rule.presumes)
        for part, at in enumerate(range(0, len(firms.snapshot), A_SHEET)):
            sheet = _sheet(firms, slice(at, at + A_SHEET), supplied)
            place = {"build": 1, "patch": 0, "part": part, "first": sheet.usccs[0] if part else ""}
            held = {"enterprises": len(sheet.usccs), "ciphertext": versions.encrypted(sheet, 1, 0, part)}
            tx.execute(insert(screening_sheet).values(**place, **held))
        tx.execute(insert(screening_version).values(version=1, build=1, patch=0, publication=0, time=now))
        codes = (code.decode() for code in firms.snapshot.usccs.tolist())
        consent_to(tx, zip(codes, firms.classes.tolist(), strict=True), bank)
    return bank, bearer


def consent_to(tx: Any, allowed: Iterable[tuple[str, int]], bank: str) -> None:
    """Consents as masks of classes, unsigned, as nobody verifies them here; by the columns that decide."""
    now = clock.now() - timedelta(days=1)
    names = ("id", "version", "uscc", "scope", "grantee", "classes", "products", "purposes", "not_before")
    names += ("status", "deciding", "created_at", "granted_at", "changed_at")
    fixed = ("screening", "screening", now, "active", True, now, now, now)
    driver = tx.connection.driver_connection
    with driver.cursor() as cursor, cursor.copy(f"COPY consent ({', '.join(names)}) FROM STDIN") as copy:
        for code, mask in allowed:
            if mask:
                classes = ",".join(str(n) for n in range(1, 8) if mask >> n & 1)
                copy.write_row((ids.new_id(), 1, code, "query", bank, classes, *fixed))


def asking(port: int, bearer: str, asked: dict[str, Any]) -> Callable[[], Any]:
    """A page over HTTP, each time under a new key, on a kept connection."""
    connection, numbers = http.client.HTTPConnection("127.0.0.1", port, timeout=120), itertools.count()
    body = orjson.dumps({**asked, "operator": "OP-00042"})

    def ask() -> Any:
        headers = {"Authorization": f"Bearer {bearer}", "Content-Type": "application/json"}
        headers["Idempotency-Key"] = f"bench-{time.monotonic_ns()}-{next(numbers)}"
        if next(numbers) % 4 == 0:
            connection.close()  # so that both workers are asked
        connection.request("POST", "/v1/screenings", body, headers)
        response = connection.getresponse()
        return orjson.loads(response.read())

    return ask


def patiently(ask: Callable[[], Any]) -> Any:
    """A page, however long the screener takes to open the index for the first time."""
    give_up = time.monotonic() + READY_WITHIN_S
    while "total" not in (answer := ask()):
        if answer["status"] != http.client.SERVICE_UNAVAILABLE or time.monotonic() > give_up:
            raise RuntimeError(f"no page: {answer}")
        time.sleep(0.2)
    return answer


def _sheet(firms: Firms, rows: slice, supplied: frozenset[str]) -> Sheet:
    held = {}
    for code, column in zip(indicators.ALL, firms.snapshot.columns, strict=True):
        held[code] = columns.column_of(column.values()[rows], column.kind.words)
    usccs = [each.decode() for each in firms.snapshot.usccs[rows].tolist()]
    return Sheet(usccs, [f"演示企业{each[10:17]}" for each in usccs], np.ones(len(usccs), np.bool_), held, supplied)
