# SPDX-License-Identifier: Apache-2.0
"""Asking witnesses over HTTP, all at once, within stated times. What `audit.witnessing` is handed.

A witness that does not answer is left alone for REST_S, so that it does not hold up the others' rounds.
"""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed

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
        self._resting: dict[str, float] = {}

    def __call__(self, requests: Sequence[tuple[Witness, bytes]]) -> Iterator[tuple[Witness, Reply]]:
        waiting = {self._threads.submit(self._ask, each, body): each for each, body in requests}
        for done in as_completed(waiting):
            yield waiting[done], done.result()

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._client.close()

    def _ask(self, each: Witness, body: bytes) -> Reply:
        now = time.monotonic()
        if now < self._resting.get(each.name, now):
            return Reply(0, b"not asked: it did not answer some seconds ago")
        try:
            reply = self._post(f"{each.url}/add-checkpoint", body, now + ANSWER_S)
        except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError) as error:
            self._resting[each.name] = time.monotonic() + REST_S
            return Reply(0, f"no answer: {type(error).__name__}".encode())
        self._resting.pop(each.name, None)
        return reply

    def _post(self, url: str, body: bytes, until: float) -> Reply:
        with self._client.stream("POST", url, content=body) as response:
            answer = b""
            for chunk in response.iter_bytes():
                answer += chunk
                if len(answer) > MAX_ANSWER_BYTES or time.monotonic() > until:
                    raise TimeoutError
            return Reply(response.status_code, answer)
