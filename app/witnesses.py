# SPDX-License-Identifier: Apache-2.0
"""Asking witnesses over HTTP, all at once, within stated times. What `audit.witnessing` is handed.

A witness that does not answer is left alone for REST_S, so that it does not hold up the others' rounds; one that lets
its answer drip is given up on, and not asked again before that request has ended.
"""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed

import httpx2

from audit.trust import Policy, Witness
from audit.witnessing import Reply

CONNECT_S = 2.0
ANSWER_S = 5.0  # in all
REST_S = 15.0
MAX_ANSWER_BYTES = 64 * 1024
AT_ONCE = 32


class Asker:
    """Connections to a policy's witnesses, kept open. Call it as `audit.witnessing.Ask`; close it at the end."""

    def __init__(self, policy: Policy) -> None:
        # Reached directly, whatever proxies the environment names; a redirect is no answer.
        limits = httpx2.Timeout(ANSWER_S, connect=CONNECT_S)
        self._client = httpx2.Client(timeout=limits, trust_env=False, follow_redirects=False)
        self._threads = ThreadPoolExecutor(min(AT_ONCE, max(1, len(policy.witnesses))), "witness")
        self._asked: dict[str, Future[Reply]] = {}
        self._rests_until: dict[str, float] = {}

    def __call__(self, requests: Sequence[tuple[Witness, bytes]]) -> Iterator[tuple[Witness, Reply]]:
        waiting: dict[Future[Reply], Witness] = {}
        for each, body in requests:
            if self._is_left_alone(each.name):
                yield each, Reply(0, b"not asked: it did not answer some seconds ago")
            else:
                self._asked[each.name] = future = self._threads.submit(self._ask, each, body)
                waiting[future] = each
        try:
            for done in as_completed(waiting, ANSWER_S):
                yield waiting.pop(done), done.result()
        except TimeoutError:
            for each in waiting.values():
                self._rests_until[each.name] = time.monotonic() + REST_S
                yield each, Reply(0, b"no answer in time")

    def close(self) -> None:
        self._client.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _is_left_alone(self, name: str) -> bool:
        asked = self._asked.get(name)
        return (asked is not None and not asked.done()) or time.monotonic() < self._rests_until.get(name, 0)

    def _ask(self, each: Witness, body: bytes) -> Reply:
        try:
            return self._post(f"{each.url}/add-checkpoint", body)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            self._rests_until[each.name] = time.monotonic() + REST_S
            return Reply(0, f"no answer: {type(error).__name__}".encode())

    def _post(self, url: str, body: bytes) -> Reply:
        with self._client.stream("POST", url, content=body) as response:
            answer = b""
            for chunk in response.iter_bytes():
                answer += chunk
                if len(answer) > MAX_ANSWER_BYTES:
                    return Reply(0, b"its answer is too long")
            return Reply(response.status_code, answer)
