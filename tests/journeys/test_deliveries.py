# SPDX-License-Identifier: Apache-2.0
"""A source pushes to a bureau that is being served: streamed, bounded, while banks ask; and a restart in between."""

import gzip
import http.client
import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest

from access import clients, tokens
from kernel import db
from tests.factories import new_uscc
from tests.journeys.cast import Cast, ask, content_digest, token
from tests.journeys.service import Reply, Service, memory

PLACE = "/v1/batches?feed=market-regulation-register"
NDJSON = "application/x-ndjson"
ANSWERED_WITHIN_S = 5
WORKER_BYTES = 300 << 20  # design section 10: one worker under load


@pytest.fixture
def source(shared_service: Service) -> str:
    """A token of the source of the register."""
    with db.transaction() as tx:
        client_id, _ = clients.add(tx, "S01", ("batch:write",), is_source=True, per_second=1_000_000)
        return tokens.issue(tx, frozenset({"batch:write"}), tokens.CLIENT_TOKEN_LIFE, client_id=client_id)[0]


def rows(count: int, blanks: int = 0) -> Iterator[bytes]:
    for _ in range(count):
        row = {"统一社会信用代码": new_uscc(), "企业名称": "演示公司", "经营范围": "演" * blanks}
        yield json.dumps(row, ensure_ascii=False).encode() + b"\n"


def receipt(served: Service, source: str, taken: Reply) -> dict[str, object]:
    assert taken.status == 202, taken
    answered = served.call("GET", taken.headers["location"], Authorization=f"Bearer {source}")
    assert answered.status == 200
    return dict(answered.json)


def test_a_push_may_be_chunked_or_packed(shared_service: Service, source: str) -> None:
    headers = {"Authorization": f"Bearer {source}", "Content_Type": NDJSON}
    plain = list(rows(300))
    digest = content_digest(b"".join(plain))
    chunked = shared_service.call("POST", PLACE, iter(plain), **headers, Content_Digest=digest)
    assert receipt(shared_service, source, chunked)["accepted"] == 300
    packed = gzip.compress(b"".join(rows(300)))
    zipped = shared_service.call("POST", PLACE, packed, **headers, Content_Encoding="gzip")
    assert receipt(shared_service, source, zipped)["accepted"] == 300


def test_a_large_push_is_streamed_and_banks_are_answered_meanwhile(
    shared_service: Service, shared_cast: Cast, source: str
) -> None:
    bearer = token(shared_service, shared_cast.bank)
    workers = shared_service.listeners()
    lines = list(rows(6_000, blanks=2_000))
    length = sum(map(len, lines))
    assert length > 32 << 20
    with closing(http.client.HTTPConnection("127.0.0.1", shared_service.port, timeout=120)) as connection:
        connection.putrequest("POST", PLACE)
        told = {"Authorization": f"Bearer {source}", "Content-Type": NDJSON, "Content-Length": str(length)}
        for name, value in told.items():
            connection.putheader(name, value)
        connection.endheaders()
        for number, line in enumerate(lines):
            connection.send(line)
            if number % 200 == 0:
                assert ask(shared_service, bearer, shared_cast.enterprise.uscc).status == 200
        answered = connection.getresponse()
        assert (answered.status, answered.read()[:9]) == (202, b'{"batch":')
    assert max(memory([worker], "VmHWM") for worker in workers) < WORKER_BYTES


def test_sources_who_never_finish_their_bodies_stop_nobody(
    shared_service: Service, shared_cast: Cast, source: str
) -> None:
    bearer = token(shared_service, shared_cast.bank)
    head = f"POST {PLACE} HTTP/1.1\r\nHost: bureau\r\nAuthorization: Bearer {source}\r\nContent-Type: {NDJSON}\r\n"
    with ExitStack() as dawdlers:
        for _ in range(12):
            connection = socket.create_connection(("127.0.0.1", shared_service.port), timeout=5)
            dawdlers.enter_context(connection)
            connection.sendall(f"{head}Content-Length: 99\r\n\r\n".encode() + b"{")
        time.sleep(0.3)
        for _ in range(8):
            started = time.monotonic()
            assert ask(shared_service, bearer, shared_cast.enterprise.uscc).status == 200
            assert time.monotonic() - started < ANSWERED_WITHIN_S
    assert receipt(shared_service, source, once_free(shared_service, source))["accepted"] == 1


def once_free(served: Service, source: str) -> Reply:
    """A push after others went away unfinished: their places become free once that is noticed."""
    for _ in range(50):
        body = b"".join(rows(1))
        answered = served.call("POST", PLACE, body, Authorization=f"Bearer {source}", Content_Type=NDJSON)
        if answered.status != 503:
            return answered
        time.sleep(0.1)
    return answered


def test_a_body_that_is_cut_off_is_not_taken_for_a_whole_one(shared_service: Service, source: str) -> None:
    head = f"POST {PLACE} HTTP/1.1\r\nHost: bureau\r\nAuthorization: Bearer {source}\r\nContent-Type: {NDJSON}\r\n"
    line = next(rows(1))
    chunk = b"%x\r\n%b\r\n" % (len(line), line)
    digest = content_digest(line * 2)
    for length, body in (
        ("Content-Length: 9999", line),
        ("Transfer-Encoding: chunked", chunk),
        (f"Content-Digest: {digest}\r\nTransfer-Encoding: chunked", chunk),
    ):
        with db.reading() as reading:
            before = reading.exec_driver_sql("SELECT count(*) FROM batch").scalar()
        with socket.create_connection(("127.0.0.1", shared_service.port), timeout=5) as connection:
            connection.sendall(f"{head}{length}\r\n\r\n".encode() + body)
            time.sleep(0.2)
        time.sleep(0.8)
        with db.reading() as reading:
            assert reading.exec_driver_sql("SELECT count(*) FROM batch").scalar() == before, length


def test_a_chunked_body_without_a_digest_is_told_what_it_lacks(shared_service: Service, source: str) -> None:
    answered = shared_service.call("POST", PLACE, rows(1), Authorization=f"Bearer {source}", Content_Type=NDJSON)
    assert (answered.status, answered.problem) == (400, "length-required")


def test_nobody_without_a_token_fills_the_spool(shared_service: Service) -> None:
    answered = shared_service.call("POST", PLACE, b"{}\n", Content_Type=NDJSON)
    assert answered.status == 401
