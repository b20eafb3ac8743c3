# SPDX-License-Identifier: Apache-2.0
"""Asking witnesses over HTTP: at once, within bounds, and no witness holds up another."""

import contextlib
import itertools
import socket
import time
from collections.abc import Iterator

import pytest

from app import witnesses
from app.witnesses import Asker
from audit.notes import COSIGNATURE, Verifier
from audit.trust import Policy, Witness
from audit.witnessing import Reply
from tests.connectors.receivers import Receiver, receiving
from tests.journeys.service import free_port

WITHIN_S = 0.5


def witness(name: str, port: int) -> Witness:
    return Witness(name, Verifier(name, COSIGNATURE, name.encode().rjust(32)), f"http://127.0.0.1:{port}")


@pytest.fixture
def prompt() -> Iterator[Receiver]:
    """A witness that answers."""
    with receiving() as receiver:
        receiver.answers(200, b"cosigned", Content_Length="8")
        yield receiver


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(witnesses, "ANSWER_S", WITHIN_S)
    monkeypatch.setattr(witnesses, "CONNECT_S", WITHIN_S)


@contextlib.contextmanager
def asking(*some: Witness) -> Iterator[Asker]:
    with contextlib.closing(Asker(Policy(witnesses=some))) as ask:
        yield ask


def test_each_is_posted_its_own_body_at_its_own_place(prompt: Receiver) -> None:
    with receiving() as other:
        other.answers(409, b"7\n", Content_Length="2")
        first, second = witness("w1", prompt.port), witness("w2", other.port)
        with asking(first, second) as ask:
            assert dict(ask([(first, b"one"), (second, b"two")])) == {
                first: Reply(200, b"cosigned"),
                second: Reply(409, b"7\n"),
            }
            assert dict(ask([(second, b"again")])) == {second: Reply(409, b"7\n")}
    came = [(one.method, one.path, one.body) for one in (*prompt.received, *other.received)]
    assert came == [("POST", "/add-checkpoint", body) for body in (b"one", b"two", b"again")]


def test_who_does_not_answer_holds_nobody_up_and_is_left_alone_for_a_while(
    prompt: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        good, dead, mute = (
            witness("good", prompt.port),
            witness("dead", free_port()),
            witness("mute", silent.getsockname()[1]),
        )
        with asking(good, dead, mute) as ask:
            begun = time.monotonic()
            replies = ask([(mute, b""), (dead, b""), (good, b"")])
            assert {next(replies)[0], next(replies)[0]} == {good, dead}
            assert time.monotonic() - begun < WITHIN_S, "the prompt one's reply is there at once"
            ((late, reply),) = replies
            assert (late, reply.status) == (mute, 0)
            assert time.monotonic() - begun < 4 * WITHIN_S
            begun = time.monotonic()
            told = dict(ask([(mute, b""), (dead, b""), (good, b"")]))
            assert time.monotonic() - begun < WITHIN_S
            assert told[good].status == 200
            assert told[dead].body.startswith(b"not asked")
            assert told[mute].body.startswith(b"not asked")
            monkeypatch.setattr(ask, "_rests_until", {})
            assert dict(ask([(dead, b"")]))[dead].body == b"no answer: ConnectError"


def test_an_answer_that_drips_is_given_up_on_and_not_asked_for_twice(prompt: Receiver) -> None:
    def drip() -> Iterator[bytes]:
        for _ in range(40):
            time.sleep(WITHIN_S / 5)
            yield b"x"

    with receiving() as slow:
        slow.answer = lambda _: (200, {"Content-Length": "40"}, drip())
        good, dripping = witness("good", prompt.port), witness("slow", slow.port)
        with asking(good, dripping) as ask:
            begun = time.monotonic()
            assert dict(ask([(dripping, b""), (good, b"")])) == {
                good: Reply(200, b"cosigned"),
                dripping: Reply(0, b"no answer in time"),
            }
            assert time.monotonic() - begun < 3 * WITHIN_S
            ask._rests_until.clear()
            assert dict(ask([(dripping, b"")]))[dripping].body.startswith(b"not asked")
    assert len(slow.received) == 1


@pytest.mark.parametrize("length", [None, "200000"])
def test_an_answer_without_end_is_cut(length: str | None) -> None:
    with receiving() as endless:
        headers = {"Content-Length": length} if length else {}
        endless.answer = lambda _: (200, headers, itertools.repeat(b"x" * 1000, 200))
        one = witness("endless", endless.port)
        with asking(one) as ask:
            assert dict(ask([(one, b"")])) == {one: Reply(0, b"its answer is too long")}


def test_a_redirect_is_an_answer_like_any_other_and_leads_nowhere(prompt: Receiver) -> None:
    with receiving() as moved:
        moved.answers(307, Location=f"{prompt.base}/add-checkpoint", Content_Length="0")
        one = witness("moved", moved.port)
        with asking(one) as ask:
            assert dict(ask([(one, b"")])) == {one: Reply(307, b"")}
    assert prompt.received == []


def test_proxies_of_the_environment_are_not_used(prompt: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    one = witness("w1", prompt.port)
    with asking(one) as ask:
        assert dict(ask([(one, b"")])) == {one: Reply(200, b"cosigned")}
