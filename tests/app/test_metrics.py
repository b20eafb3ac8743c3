# SPDX-License-Identifier: Apache-2.0
"""The operator's figures: right whichever worker tells them, and told to the operator only."""

import pytest
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families

from app.application import create_app
from audit import sealing, witnessing
from tests import factories
from tests.audit.test_sealing import ORIGIN, append
from tests.audit.test_witnessing import Three, three
from tests.conftest import PUBLIC_URL, House

__all__ = ["three"]
TOKEN = "a-token-of-the-operator"


def read(client: FlaskClient) -> dict[str, float]:
    """Every sample by its name, with its label's value where it has one."""
    answer = client.get("/metrics")
    assert answer.status_code == 200
    samples = [sample for family in text_string_to_metric_families(answer.text) for sample in family.samples]
    return {" ".join((sample.name, *sample.labels.values())): sample.value for sample in samples}


def test_an_empty_bureau_tells_that_nothing_waits(house: House, client: FlaskClient) -> None:
    told = read(client)
    assert told["bureau_log_size"] == told["bureau_unsealed"] == told["bureau_open_batches"] == 0
    assert told["bureau_condition_kept sealing"] == told["bureau_condition_kept witnesses"] == 1
    assert "bureau_checkpoint_age_seconds" not in told
    assert "bureau_quorum_age_seconds" not in told
    assert any(name.startswith("bureau_info ") for name in told)


def test_they_follow_the_trail_the_vault_and_the_witnesses(house: House, three: Three) -> None:
    client = create_app(PUBLIC_URL).test_client()
    append(3)
    assert (read(client)["bureau_log_size"], read(client)["bureau_unsealed"]) == (0, 3)
    sealing.seal(ORIGIN)
    told = read(client)
    assert (told["bureau_log_size"], told["bureau_unsealed"], told["bureau_witnessed_size"]) == (3, 0, 0)
    assert told["bureau_oldest_unsealed_age_seconds"] == 0
    assert 0 <= told["bureau_checkpoint_age_seconds"] < 60
    three.kill("w3")
    witnessing.hold_round(ORIGIN, three)
    told = read(client)
    assert told["bureau_witnessed_size"] == 3
    assert 0 <= told["bureau_quorum_age_seconds"] < 60
    assert [name for name in told if "witness_age" in name] == [f"bureau_witness_age_seconds w{n}" for n in (1, 2)]
    before = told["bureau_publication"]
    factories.deliver([factories.registration(1, factories.new_uscc())])
    assert read(client)["bureau_publication"] == before + 1


@pytest.mark.parametrize(
    ("peer", "headers", "status"),
    [
        ("127.0.0.1", {}, 200),
        ("127.8.8.8", {}, 200),
        ("::1", {}, 200),
        ("::ffff:192.0.2.1", {}, 403),
        ("192.0.2.1", {}, 403),
        ("10.0.0.1", {}, 403),
        ("", {}, 403),
        ("127.0.0.1", {"X-Forwarded-For": "127.0.0.1"}, 403),
        ("127.0.0.1", {"X-Forwarded-For": "192.0.2.1"}, 403),
        ("127.0.0.1", {"Forwarded": "for=192.0.2.1"}, 403),
        ("127.0.0.1", {"Via": "1.1 proxy"}, 403),
        ("192.0.2.1", {"X-Forwarded-For": "127.0.0.1"}, 403),
        ("192.0.2.1", {"Authorization": f"Bearer {TOKEN}"}, 403),
    ],
)
def test_without_a_token_they_are_told_to_this_machine_only(
    house: House, client: FlaskClient, peer: str, headers: dict[str, str], status: int
) -> None:
    answer = client.get("/metrics", headers=headers, environ_base={"REMOTE_ADDR": peer})
    assert answer.status_code == status
    assert (b"bureau_log_size" in answer.data) is (status == 200)


@pytest.mark.parametrize(
    ("header", "status"),
    [(f"Bearer {TOKEN}", 200), ("", 401), (TOKEN, 401), (f"bearer {TOKEN}x", 401), (f"Bearer {TOKEN[:-1]}", 401),
     ("Bearer \xe9", 401)],
)  # fmt: skip
def test_with_a_token_they_are_told_to_whoever_bears_it(house: House, header: str, status: int) -> None:
    client = create_app(PUBLIC_URL, metrics_token=TOKEN).test_client()
    for peer in ("127.0.0.1", "192.0.2.1"):
        answer = client.get("/metrics", headers={"Authorization": header}, environ_base={"REMOTE_ADDR": peer})
        assert answer.status_code == status


def test_they_tell_of_no_one(house: House, client: FlaskClient) -> None:
    uscc, bank = factories.new_uscc(), factories.bank()
    factories.deliver([factories.registration(1, uscc)])
    factories.consent(uscc, bank)
    factories.ask(client, factories.token(bank), uscc)
    told = client.get("/metrics").text
    assert uscc not in told
    assert bank not in told
