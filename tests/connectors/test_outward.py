# SPDX-License-Identifier: Apache-2.0
"""Requests to addresses that others gave us: what is reached, and what nobody gets us to reach."""

import socket
import time
from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from connectors import outward
from kernel.errors import Invalid
from tests.connectors.receivers import Receiver, certificate, receiving

LOOPBACK = (ip_network("127.0.0.0/8"),)
NAME = "bank.example"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as one:
        yield one


def resolve_to(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Have every name resolve to these addresses."""

    def resolved(_host: str, port: int, *_: object, **__: object) -> list[tuple[object, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", resolved)


def test_what_the_operator_lists_is_reached(receiver: Receiver) -> None:
    receiver.answers(200, b"yes", X_Told="so")
    reply = outward.request("POST", f"{receiver.base}/hook?a=1", LOOPBACK, content=b"hello", headers={"X-Mine": "1"})
    (came,) = receiver.received
    assert (reply.status, reply.body, reply.headers["x-told"]) == (200, b"yes", "so")
    assert (came.method, came.path, came.body, came.headers["x-mine"]) == ("POST", "/hook?a=1", b"hello", "1")
    assert came.headers["host"] == f"127.0.0.1:{receiver.port}"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "0.0.0.0", "[::ffff:127.0.0.1]", "2130706433"])
def test_this_machine_is_not_reached_unless_listed(receiver: Receiver, host: str) -> None:
    with pytest.raises(outward.Unreachable, match=r"no network|resolved"):
        outward.request("GET", f"http://{host}:{receiver.port}/", ())
    assert receiver.received == []


@pytest.mark.parametrize(
    "address",
    [
        "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "192.0.2.1", "224.0.0.1",
        "255.255.255.255", "::", "fe80::1", "fc00::1", "64:ff9b::a00:1", "2002:a00:1::", "2001:0:a00:1::",
    ],
)  # fmt: skip
def test_no_address_within_is_reached_by_a_public_name(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    resolve_to(monkeypatch, address)
    with pytest.raises(outward.Unreachable, match="not a public address"):
        outward.request("GET", f"https://{NAME}/", ())


def test_one_address_within_spoils_a_name_that_has_public_ones_too(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve_to(monkeypatch, "93.184.216.34", "127.0.0.1")
    with pytest.raises(outward.Unreachable, match="not a public address"):
        outward.request("GET", f"https://{NAME}/", ())


def test_a_public_address_is_called_by_https_only(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve_to(monkeypatch, "93.184.216.34")
    with pytest.raises(outward.Unreachable, match="https only"):
        outward.request("GET", f"http://{NAME}/", ())


def test_the_address_that_was_judged_is_the_one_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    connected = []

    def connect(_self: object, host: str, *_: object, **__: object) -> None:
        connected.append(host)
        raise OSError("far enough")

    resolve_to(monkeypatch, "93.184.216.34")
    monkeypatch.setattr("httpcore2.SyncBackend.connect_tcp", connect)
    with pytest.raises(outward.Unreachable):
        outward.request("GET", f"https://{NAME}/", ())
    assert connected == ["93.184.216.34"]


def test_a_redirect_is_an_answer_and_is_not_followed(receiver: Receiver) -> None:
    receiver.answers(307, Location="http://169.254.169.254/latest/meta-data")
    assert outward.request("POST", receiver.base, LOOPBACK).status == 307
    assert len(receiver.received) == 1


def test_an_answer_longer_than_the_limit_is_refused(receiver: Receiver) -> None:
    receiver.answers(200, b"x" * 2_000)
    assert len(outward.request("GET", receiver.base, LOOPBACK, most_bytes=2_000).body) == 2_000
    with pytest.raises(outward.Unreachable, match="longer than 1999"):
        outward.request("GET", receiver.base, LOOPBACK, most_bytes=1_999)


def test_an_answer_that_drips_ends_at_the_deadline(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    def dripping() -> Iterator[bytes]:
        while True:
            time.sleep(0.02)
            yield b"."

    receiver.answer = lambda _: (200, {}, dripping())
    monkeypatch.setattr(outward, "WITHIN_S", 0.3)
    begun = time.monotonic()
    with pytest.raises(outward.Unreachable, match="ReadTimeout"):
        outward.request("GET", receiver.base, LOOPBACK)
    assert time.monotonic() - begun < 5


def test_nobody_there_is_told_as_such() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(outward.Unreachable, match="ConnectError"):
        outward.request("GET", f"http://127.0.0.1:{port}/", LOOPBACK)


@pytest.mark.parametrize(
    "url",
    [
        "", "hook", "/hook", "ftp://a.example/", "https://", "https://user@a.example/", "https://a:b@a.example/",
        "https://a.example/#part", "https://a.example/ b", "https://a.example:99999/", "https://例.example/",
        "https://a.example/" + "x" * 2_000, "https://[::1", "javascript:alert(1)", "https://a.example/\n",
    ],
)  # fmt: skip
def test_what_is_no_url_of_ours_is_refused_before_anything_is_done(url: str) -> None:
    with pytest.raises(Invalid):
        outward.request("GET", url, LOOPBACK)


def test_a_name_is_verified_against_its_certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    resolve_to(monkeypatch, "127.0.0.1")
    pem = certificate(tmp_path, NAME)
    with receiving(pem) as receiver:
        with pytest.raises(outward.Unreachable):  # nobody we trust signed it
            outward.request("GET", f"https://{NAME}:{receiver.port}/", LOOPBACK)
        monkeypatch.setenv("SSL_CERT_FILE", str(pem))
        assert outward.request("GET", f"https://{NAME}:{receiver.port}/", LOOPBACK).status == 204
        assert receiver.received[0].headers["host"] == f"{NAME}:{receiver.port}"
        with pytest.raises(outward.Unreachable):  # it is not this name's
            outward.request("GET", f"https://other.example:{receiver.port}/", LOOPBACK)
    assert len(receiver.received) == 1


def test_every_address_is_either_public_or_not() -> None:
    assert outward._is_public(ip_address("2001:4860:4860::8888"))
    assert outward._is_public(ip_address("64:ff9b::808:808"))
    assert not outward._is_public(ip_address("64:ff9b::7f00:1"))
