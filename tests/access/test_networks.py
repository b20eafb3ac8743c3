# SPDX-License-Identifier: Apache-2.0
"""Where callers may call from, and whose word counts for where they do."""

from ipaddress import ip_address
from typing import Any

import pytest
from flask.testing import FlaskClient

from access import client_lists, clients, institutions, networks, tokens
from app.application import create_app
from kernel import db
from kernel.errors import Invalid, NotPermitted
from tests import factories
from tests.conftest import PUBLIC_URL, House
from tests.kernel.test_problems import assert_problem

PROXY = "10.0.0.9"
TRUSTED = networks.parse("10.0.0.0/24, fd00::/8")


@pytest.mark.parametrize(
    "garbage",
    ["x", "300.1.1.1", "10.0.0.1/33", "10.0.0.1/24", "2001:db8::/129", "2001:db8::1/32", "10.0.0.0/-1", "1.2.3", "::g"],
)
def test_a_network_that_is_none_is_refused_by_name(garbage: str) -> None:
    with pytest.raises(Invalid) as refused:
        networks.checked(["192.0.2.0/24", garbage])
    assert garbage in refused.value.extra["errors"]["networks"][0]  # type: ignore[index]


def test_networks_are_stored_once_and_in_their_canonical_form() -> None:
    listed = ["192.0.2.7", "192.0.2.7/32", "2001:0DB8:0000::/48", "192.0.2.0/24"]
    assert networks.checked(listed) == "192.0.2.7/32,2001:db8::/48,192.0.2.0/24"
    assert networks.checked([]) == ""
    with pytest.raises(Invalid):
        networks.checked([f"10.{a}.{b}.0/24" for a in range(20) for b in range(20)])


@pytest.mark.parametrize(
    ("listed", "address", "passes"),
    [
        (None, None, True),
        ("", "203.0.113.1", True),
        ("192.0.2.0/24", "192.0.2.255", True),
        ("192.0.2.0/24", "192.0.3.0", False),
        ("192.0.2.0/24", "2001:db8::1", False),
        ("192.0.2.0/24,2001:db8::/48", "2001:db8:0:ffff::1", True),
        ("192.0.2.0/24,2001:db8::/48", "2001:db8:1::1", False),
        ("0.0.0.0/0", None, False),
    ],
)
def test_a_caller_passes_where_the_list_holds_its_address(
    listed: str | None, address: str | None, passes: bool
) -> None:
    caller = ip_address(address) if address else None
    if passes:
        networks.require_allowed(listed, caller)
    else:
        with pytest.raises(NotPermitted) as refused:
            networks.require_allowed(listed, caller)
        assert refused.value.slug == "network-not-allowed"


@pytest.mark.parametrize(
    ("peer", "forwarded", "counts"),
    [
        ("203.0.113.5", [], "203.0.113.5"),
        ("203.0.113.5", ["192.0.2.1"], "203.0.113.5"),  # a stranger's word about itself
        (PROXY, ["192.0.2.1"], "192.0.2.1"),
        (PROXY, ["192.0.2.1, 203.0.113.5"], "203.0.113.5"),  # the left hop is what the stranger sent
        (PROXY, ["192.0.2.1", "203.0.113.5"], "203.0.113.5"),  # the same in two fields
        (PROXY, ["192.0.2.1, 203.0.113.5, 10.0.0.7"], "203.0.113.5"),  # two proxies of ours
        (PROXY, ["192.0.2.1, 203.0.113.5:4711"], "203.0.113.5"),
        (PROXY, ["[2001:db8::1]:443"], "2001:db8::1"),
        ("fd00::1", ["2001:db8::1"], "2001:db8::1"),
        ("::ffff:10.0.0.9", ["::ffff:192.0.2.1"], "192.0.2.1"),
        (PROXY, [], PROXY),
        (PROXY, ["10.0.0.7"], "10.0.0.7"),
        (PROXY, ["192.0.2.1, unknown"], None),  # not to be passed over: what stands left is not the proxy's word
        (PROXY, [""], None),
        (None, ["192.0.2.1"], None),
        ("", [], None),
    ],
)
def test_the_address_that_counts_is_the_last_that_a_trusted_proxy_saw(
    peer: str | None, forwarded: list[str], counts: str | None
) -> None:
    found = networks.counted(peer, forwarded, TRUSTED)
    assert found == (ip_address(counts) if counts else None)


def test_without_trusted_proxies_nobody_is_believed() -> None:
    assert networks.counted(PROXY, ["192.0.2.1"], ()) == ip_address(PROXY)


@pytest.fixture
def bound(house: House) -> tuple[str, str, str]:
    """A client of an institution that may call from two networks only: client id, secret, token."""
    bank = factories.bank()
    with db.transaction() as tx:
        institutions.change(tx, bank, {"networks": ("192.0.2.0/24", "2001:db8::/48")})
        client_id, secret = clients.add(tx, bank, ("consent:read",))
        scopes = frozenset({"consent:read"})
        return client_id, secret, tokens.issue(tx, scopes, tokens.CLIENT_TOKEN_LIFE, client_id=client_id)[0]


def calls(client: FlaskClient, bound: tuple[str, str, str], peer: str, forwarded: str | None = None) -> list[Any]:
    """A request by token and one for a token, both from this address."""
    more: dict[str, Any] = {"environ_overrides": {"REMOTE_ADDR": peer}}
    headers = {"X-Forwarded-For": forwarded} if forwarded else {}
    by_token = client.get("/v1/consents", headers={"Authorization": f"Bearer {bound[2]}", **headers}, **more)
    form = {"grant_type": "client_credentials"}
    return [by_token, client.post("/oauth/token", data=form, auth=bound[:2], headers=headers, **more)]


@pytest.mark.parametrize("peer", ["192.0.2.1", "2001:db8::5", "::ffff:192.0.2.9"])
def test_a_client_calls_from_where_its_contract_says(
    client: FlaskClient, bound: tuple[str, str, str], peer: str
) -> None:
    assert [response.status_code for response in calls(client, bound, peer)] == [200, 200]


@pytest.mark.parametrize(("peer", "forwarded"), [("203.0.113.5", None), ("2001:db8:1::1", None), (PROXY, "192.0.2.1")])
def test_from_elsewhere_neither_secret_nor_token_helps_nor_a_forged_header(
    client: FlaskClient, bound: tuple[str, str, str], peer: str, forwarded: str | None
) -> None:
    for response in calls(client, bound, peer, forwarded):
        assert_problem(response, 403, "network-not-allowed")


def test_behind_a_trusted_proxy_its_word_counts_and_not_the_callers(bound: tuple[str, str, str]) -> None:
    client = create_app(PUBLIC_URL, trusted_proxies=TRUSTED).test_client()
    assert [response.status_code for response in calls(client, bound, PROXY, "192.0.2.1")] == [200, 200]
    for forwarded in ("192.0.2.1, 203.0.113.5", "203.0.113.5", "192.0.2.1, nonsense"):
        for response in calls(client, bound, PROXY, forwarded):
            assert_problem(response, 403, "network-not-allowed")


def test_a_stranger_without_the_secret_does_not_learn_of_the_networks(
    client: FlaskClient, bound: tuple[str, str, str]
) -> None:
    _, response = calls(client, (bound[0], "wrong", bound[2]), "203.0.113.5")
    assert (response.status_code, response.json["error"]) == (401, "invalid_client")


def test_a_list_that_was_changed_counts_at_the_next_request(client: FlaskClient, bound: tuple[str, str, str]) -> None:
    assert calls(client, bound, "203.0.113.5")[0].status_code == 403
    with db.transaction() as tx:
        bank = client_lists.document(tx, bound[0])["institution"]
        institutions.change(tx, bank, {"networks": ("203.0.113.5",)})
    assert calls(client, bound, "203.0.113.5")[0].status_code == 200
    assert calls(client, bound, "192.0.2.1")[0].status_code == 403
