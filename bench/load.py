# SPDX-License-Identifier: Apache-2.0
"""The load generator: some connections, each asking its next question as soon as it has its answer.

One thread, raw keep-alive sockets and no HTTP library, because it shares the machine with what it measures;
how much of a core it took itself is in the result. Each question is about another enterprise and under a key
of its own. Each answer must be a 200 with a Content-Length and is read to its last byte, or the run fails.
"""

import itertools
import math
import random
import re
import secrets
import selectors
import socket
import statistics
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import orjson

CONNECTIONS = 16
WARM_UP_S = 0.5  # answers that come in it are not counted
GIVE_UP_S = 30.0  # without any answer
SCRATCH_BYTES = 1 << 20
OPERATOR = "OP-00042"
PURPOSE, PRODUCT = "pre_loan", "records"
_NO_USCC = "#" * 18


class Failed(RuntimeError):
    """The server gave something else than an answer; says what."""


@dataclass(frozen=True, slots=True)
class Load:
    """What came of a round: `latencies` in seconds, sorted; `own_cpu` the generator's share of one core."""

    latencies: Sequence[float]
    seconds: float
    body_bytes: int  # mean
    own_cpu: float

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.latencies) / self.seconds

    def milliseconds(self, share: float) -> float:
        """The latency that `share` of the answers (0.99) stayed within, in milliseconds."""
        return 1000 * self.latencies[max(0, math.ceil(share * len(self.latencies)) - 1)]


def put(
    port: int,
    bearers: Sequence[str],
    usccs: Sequence[str],
    seconds: float,
    connections: int = CONNECTIONS,
    most_per_second: float = math.inf,
) -> Load:
    """Ask for `seconds` after a short warm-up, as fast as answers come or at a steady pace that they allow.

    `bearers` are shared out among the connections.

    Raises Failed at the first answer that is none.
    """
    asked_by = (bearers[number % len(bearers)] for number in range(connections))
    return drive(port, [questions(port, bearer, usccs) for bearer in asked_by], seconds, most_per_second)


def drive(port: int, requests: Sequence[Iterator[bytes]], seconds: float, most_per_second: float = math.inf) -> Load:
    """As `put`, for any requests: each iterator's go over a connection of their own, one after the other."""
    asking = [_Connection(port, each) for each in requests]
    latencies, sizes, scratch, idle = [], [], bytearray(SCRATCH_BYTES), deque(asking)
    with selectors.DefaultSelector() as selector:
        for one in asking:
            selector.register(one.socket, selectors.EVENT_READ, one)
        due = time.perf_counter()
        begins = due + WARM_UP_S
        ends, cpu = begins + seconds, 0.0
        while (now := time.perf_counter()) < ends:
            if not cpu and now >= begins:
                cpu = time.process_time()
            while idle and due <= now:
                idle.popleft().ask()
                due = max(due, now - 1) + 1 / most_per_second  # what was missed more than a second ago is not made up
            ready = selector.select(max(0, due - now) if idle else GIVE_UP_S)
            if not ready and not idle:
                raise Failed(f"no answer within {GIVE_UP_S:.0f} s")
            for key, _ in ready:
                one = key.data
                if one.receive(scratch):
                    done = time.perf_counter()
                    if begins <= done <= ends:
                        latencies.append(done - one.asked_at)
                        sizes.append(one.length)
                    idle.append(one)
        cpu = time.process_time() - cpu
    for one in asking:
        one.socket.close()
    if not latencies:
        raise Failed(f"not one question was answered within {seconds} s")
    return Load(sorted(latencies), seconds, round(statistics.fmean(sizes)), cpu / seconds)


def questions(port: int, bearer: str, usccs: Sequence[str]) -> Iterator[bytes]:
    """Requests without end, ready to be sent: a random enterprise and a new Idempotency-Key each time."""
    body = orjson.dumps({"uscc": _NO_USCC, "purpose": PURPOSE, "product": PRODUCT, "operator": OPERATOR})
    before, after = body.split(_NO_USCC.encode())
    head = (
        f"POST /v1/credit-queries HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {bearer}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        f"Idempotency-Key: {secrets.token_hex(8)}-"
    ).encode()
    pick, coded = random.Random(secrets.randbits(64)).choice, [uscc.encode() for uscc in usccs]
    for number in itertools.count():
        yield b"%b%d\r\n\r\n%b%b%b" % (head, number, before, pick(coded), after)


class _Connection:
    """One keep-alive connection with at most one question under way."""

    __slots__ = ("_left", "_questions", "asked_at", "length", "socket")

    def __init__(self, port: int, requests: Iterator[bytes]) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), GIVE_UP_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._questions, self._left, self.length, self.asked_at = requests, 0, 0, 0.0

    def ask(self) -> None:
        request = next(self._questions)
        self.asked_at = time.perf_counter()
        self.socket.sendall(request)

    def receive(self, scratch: bytearray) -> bool:
        """Read what has come; whether the answer is now complete."""
        count = self.socket.recv_into(scratch)
        if not count:
            raise Failed("the server closed the connection before its answer was complete")
        if not self._left:
            end = scratch.find(b"\r\n\r\n", 0, count)
            if end < 0:
                raise Failed("the head of an answer did not come in one piece")
            self._left = self.length = _length(bytes(scratch[: min(count, end + 400)]))
            count -= end + 4
        self._left -= count
        if self._left < 0:
            raise Failed("more bytes came than the answer's Content-Length")
        return self._left == 0


def _length(came: bytes) -> int:
    """The length of the answer's body; raises Failed where it is not a 200 that states one above 0."""
    stated = _CONTENT_LENGTH.search(came)
    if not came.startswith(b"HTTP/1.1 200") or stated is None:
        raise Failed(f"not an answer of known length: {came.decode(errors='replace')}")
    return int(stated[1])


_CONTENT_LENGTH = re.compile(rb"\r\ncontent-length: *([1-9]\d*)\r\n", re.IGNORECASE)
