# SPDX-License-Identifier: Apache-2.0
"""A few enterprises that a bank screens."""

import itertools
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from flask.testing import FlaskClient

from bureau import indicators
from bureau.screening import columns, index
from bureau.screening.columns import Snapshot
from tests.factories import bank, deliver, new_uscc, registration, token


def snapshot_over(usccs: Sequence[str], rows: Sequence[Mapping[str, Any]] = ()) -> Snapshot:
    """A snapshot of sorted codes; each row's values by indicator, where there are rows."""
    held = []
    for code, each in indicators.ALL.items() if rows else ():
        values = [row.get(code) for row in rows]
        if each.type == "category":
            held.append(columns.column_of(*columns.words_of(values)))
        else:
            held.append(columns.column_of(np.array(values, np.float64)))
    return Snapshot(1, 1, 1, datetime.now(UTC), np.array(usccs, "S18"), list(usccs), held)


class City:
    """Some enterprises with a registration, indexed, and a bank that screens them."""

    def __init__(self, client: FlaskClient, size: int) -> None:
        self.client, self.bank = client, bank()
        self.usccs = sorted(new_uscc() for _ in range(size))
        deliver([registration(n, uscc, **{"C1.01.10": "2020-05-06"}) for n, uscc in enumerate(self.usccs, 1)])
        self.bearer, self._keys = token(self.bank, ("screening:search",)), itertools.count()

    def index(self) -> None:
        assert index.build() == len(self.usccs)

    def screen(self, key: str | None = None, path: str = "/v1/screenings", **body: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.bearer}", "Idempotency-Key": key or f"page-{next(self._keys)}"}
        return self.client.post(path, json={"operator": "OP-00042", **body}, headers=headers)


EVERYONE = {"all": []}


def found_in(response: Any) -> list[str]:
    assert response.status_code == 200, response.json
    return [each["uscc"] for each in response.json["enterprises"]]
