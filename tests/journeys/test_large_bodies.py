# SPDX-License-Identifier: Apache-2.0
"""Bodies of a hundred megabytes, and requests that never end: turned away, while others are answered."""

import select
import socket
import time
from collections.abc import Iterator

import pytest

from tests.journeys.cast import Cast, ask, token
from tests.journeys.service import Service, memory

HUGE_BYTES = 100 * 1024 * 1024
PIECE = b"x" * 65_536
REFUSED_WITHIN_S = 5
ANSWERED_WITHIN_S = 5  # the callers who never finish are there for longer
GROWTH_BYTES = 30 * 1024 * 1024  # beyond what a worker held before, of all that was sent to it

# None of it comes near the database.
pytestmark = pytest.mark.parametrize("shared_house", ["sqlite"], indirect=True, scope="module")

FORM, JSON = "application/x-www-form-urlencoded", "application/json"


@pytest.fixture
def bearer(shared_service: Service, shared_cast: Cast) -> str:
    return token(shared_service, shared_cast.bank)


@pytest.mark.parametrize("chunked", [False, True], ids=["with its length", "chunked"])
@pytest.mark.parametrize(
    ("path", "content_type", "refused_unread"),
    [
        ("/v1/credit-queries", JSON, b""),
        ("/v1/credit-queries", JSON, b"401"),
        ("/v1/sessions", JSON, b""),
        ("/oauth/token", FORM, b""),
        ("/v1/nothing", JSON, b"404"),
    ],
)
def test_a_body_of_100_megabytes_is_turned_away_and_never_held(
    shared_service: Service,
    shared_cast: Cast,
    bearer: str,
    path: str,
    content_type: str,
    refused_unread: bytes,
    chunked: bool,
) -> None:
    workers = shared_service.listeners()
    assert len(workers) == 2
    before = memory(workers)
    started = time.monotonic()

    answer, sent = send_huge(shared_service, path, content_type, "" if refused_unread else bearer, chunked)

    # Whoever goes on sending may find the connection closed before it reads the answer. What says its length
    # may be refused for another reason, unread; what does not is read as far as the limit before all else.
    expected = {b"413"} if chunked or not refused_unread else {refused_unread}
    assert not answer or answer.split(b" ", 2)[1] in expected, answer
    assert sent < HUGE_BYTES
    assert time.monotonic() - started < REFUSED_WITHIN_S
    assert shared_service.listeners() == workers
    assert memory(workers, "VmHWM") - before < GROWTH_BYTES
    assert ask(shared_service, bearer, shared_cast.enterprise.uscc).status == 200


def test_a_body_within_the_connection_s_reach_is_told_its_limit(shared_service: Service, bearer: str) -> None:
    headers = {"Authorization": f"Bearer {bearer}", "Idempotency_Key": "too-large", "Content_Type": JSON}
    refused = shared_service.call("POST", "/v1/credit-queries", b" " * (64 * 1024 + 1), **headers)
    assert refused.status == 413
    assert "65536" in refused.json["detail"]


def test_headers_without_end_are_turned_away(shared_service: Service, shared_cast: Cast, bearer: str) -> None:
    with socket.create_connection(("127.0.0.1", shared_service.port), timeout=REFUSED_WITHIN_S) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: bureau\r\n")
        answer = b""
        for _ in range(HUGE_BYTES // len(PIECE)):
            try:
                connection.sendall(b"X-More: " + PIECE + b"\r\n")
                if select.select([connection], [], [], 0)[0]:
                    answer = connection.recv(4096)
                    break
            except ConnectionError:
                break
        else:
            pytest.fail("a hundred megabytes of headers were taken in")
    assert not answer or b" 431 " in answer.partition(b"\r\n")[0]
    assert ask(shared_service, bearer, shared_cast.enterprise.uscc).status == 200


def test_hundred_callers_who_never_finish_their_headers_stop_nobody(
    shared_service: Service, shared_cast: Cast, bearer: str, dawdlers: list[socket.socket]
) -> None:
    for connection in dawdlers:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: bureau\r\n")
    started = time.monotonic()
    assert ask(shared_service, bearer, shared_cast.enterprise.uscc).status == 200
    assert time.monotonic() - started < ANSWERED_WITHIN_S


@pytest.mark.parametrize("length", ["Content-Length: 99", "Transfer-Encoding: chunked"])
def test_hundred_callers_who_never_finish_their_bodies_stop_nobody(
    shared_service: Service, shared_cast: Cast, bearer: str, dawdlers: list[socket.socket], length: str
) -> None:
    for connection in dawdlers:
        head = f"POST /v1/sessions HTTP/1.1\r\nHost: bureau\r\nContent-Type: {JSON}\r\n{length}\r\n\r\n"
        connection.sendall(head.encode() + b"1\r\n{")
    started = time.monotonic()
    assert ask(shared_service, bearer, shared_cast.enterprise.uscc).status == 200
    assert time.monotonic() - started < ANSWERED_WITHIN_S


def test_hundred_idle_connections_stop_nobody(
    shared_service: Service, shared_cast: Cast, bearer: str, dawdlers: list[socket.socket]
) -> None:
    for connection in dawdlers:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: bureau\r\n\r\n")
        assert b" 200 " in connection.recv(4096)
    started = time.monotonic()
    assert ask(shared_service, bearer, shared_cast.enterprise.uscc).status == 200
    assert time.monotonic() - started < ANSWERED_WITHIN_S


@pytest.fixture
def dawdlers(shared_service: Service) -> Iterator[list[socket.socket]]:
    """A hundred open connections."""
    open_ones = [socket.create_connection(("127.0.0.1", shared_service.port), timeout=5) for _ in range(100)]
    yield open_ones
    for connection in open_ones:
        connection.close()


def send_huge(served: Service, path: str, content_type: str, bearer: str, chunked: bool) -> tuple[bytes, int]:
    """Send a huge body until stopped. Returns what came back (nothing, if cut off) and how much went."""
    length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {HUGE_BYTES}"
    head = f"POST {path} HTTP/1.1\r\nHost: bureau\r\nContent-Type: {content_type}\r\n{length}\r\n"
    head += "Idempotency-Key: huge\r\n" + (f"Authorization: Bearer {bearer}\r\n" if bearer else "")
    piece = b"%x\r\n%b\r\n" % (len(PIECE), PIECE) if chunked else PIECE
    sent = 0
    with socket.create_connection(("127.0.0.1", served.port), timeout=REFUSED_WITHIN_S) as connection:
        try:
            connection.sendall(head.encode() + b"\r\n")
            while sent < HUGE_BYTES:
                if select.select([connection], [], [], 0)[0]:
                    return connection.recv(4096), sent
                connection.sendall(piece)
                sent += len(PIECE)
        except ConnectionError:
            return b"", sent
        return connection.recv(4096), sent
