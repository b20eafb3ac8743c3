# SPDX-License-Identifier: Apache-2.0
"""The fixtures themselves, and the shortest walk through all rooms."""

from flask.testing import FlaskClient

from tests import factories
from tests.conftest import House


def test_a_question_is_answered_end_to_end(house: House, client: FlaskClient) -> None:
    enterprise, institution = factories.new_uscc(), factories.bank()
    factories.deliver([factories.registration(1, enterprise)])
    factories.consent(enterprise, institution)
    response = factories.ask(client, factories.token(institution), enterprise)
    assert response.status_code == 200, response.json
    record = response.json["classes"][0]["datasets"][0]["records"][0]
    assert record["items"]["C1.01.02"] == enterprise
