# SPDX-License-Identifier: Apache-2.0
"""A few enterprises that a bank screens."""

from typing import Any

from flask.testing import FlaskClient

from bureau import screening_index
from tests.factories import bank, deliver, new_uscc, registration, token


class City:
    """Some enterprises with a registration, indexed, and a bank that screens them."""

    def __init__(self, client: FlaskClient, size: int) -> None:
        self.client, self.bank = client, bank()
        self.usccs = sorted(new_uscc() for _ in range(size))
        deliver([registration(n, uscc, **{"C1.01.10": "2020-05-06"}) for n, uscc in enumerate(self.usccs, 1)])
        self.bearer, self._keys = token(self.bank, ("screening:search",)), iter(range(10_000))

    def index(self) -> None:
        assert screening_index.build() == len(self.usccs)

    def screen(self, key: str | None = None, **body: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.bearer}", "Idempotency-Key": key or f"page-{next(self._keys)}"}
        return self.client.post("/v1/screenings", json={"operator": "OP-00042", **body}, headers=headers)


EVERYONE = {"all": []}


def found_in(response: Any) -> list[str]:
    assert response.status_code == 200, response.json
    return [each["uscc"] for each in response.json["enterprises"]]
