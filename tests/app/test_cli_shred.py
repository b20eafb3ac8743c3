# SPDX-License-Identifier: Apache-2.0
"""`bureau shred` at the counter: it asks first, says what backups still hold, and verify stays content."""

from tests import factories
from tests.app.conftest import Bureau
from tests.conftest import House


def test_shred_asks_first_then_destroys_and_verify_stays_ok(bureau: Bureau, open_house: House) -> None:
    code = factories.new_uscc()
    factories.deliver([factories.registration(1, code)])
    assert bureau("shred", code, "--reason", "an order").code != 0
    told = bureau("shred", code, "--reason", "an order", "--yes", "--json")
    assert (told.code, told.json["records"], told.json["rows"]["data_key"]) == (0, 1, 1)
    assert told.json["backups_before"].endswith("Z")
    assert bureau("verify", "--json").json["ok"] is True
    assert bureau("shred", code, "--reason", "an order", "--yes").code == 2
