# SPDX-License-Identifier: Apache-2.0
"""HTTPS pull: a file, or pages of rows, behind OAuth2 client credentials; whole or not at all.

TLS is verified, redirects stay on the same origin, what is transient is tried again with growing rests (or as long as
Retry-After asks), and a file that has not changed since (ETag) is not fetched again.
"""

import json
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx2
import stamina
from sqlalchemy import Connection

from connectors import memory, spool
from connectors.feeds import Feed
from connectors.fetched import Beat, Fetched, Reveal
from connectors.spool import Spool
from connectors.transports import Https
from kernel import db
from kernel.errors import Invalid, SettingError, TooLarge, Unavailable

ATTEMPTS, LONGEST_RETRY_S = 5, 60.0
WITHIN_S, CONNECT_WITHIN_S = 60.0, 10.0  # of silence
WHOLE_WITHIN_S = 3_600.0
PAGE_BYTES, TOKEN_BYTES = 16 << 20, 1 << 16
REDIRECTS = 3
TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})


class _Transient(Exception):
    """An answer that may be another one later; `rest_s` is what Retry-After asks for."""

    def __init__(self, told: str, rest_s: float | None = None) -> None:
        super().__init__(told)
        self.rest_s = rest_s


@dataclass(slots=True)
class _Session:
    client: httpx2.Client
    transport: Https
    headers: dict[str, str]
    until: float


def fetch(feed: Feed, transport: Https, reveal: Reveal, beat: Beat) -> Iterator[Fetched]:
    """The file, or all pages as one file of JSON Lines; nothing where it has not changed.

    Raises Unavailable where it cannot be had, Invalid or TooLarge for what comes, SettingError for a secret or `ca`.
    """
    with db.reading() as reading:
        marked = memory.mark(reading, feed.feed)
    name = f"{feed.feed}.{feed.layout.format}"
    with _session(transport, reveal) as session, spool.spooled(name, feed.layout.limits.packed_bytes, beat) as file:
        if transport.paging == "none":
            asked = {"If-None-Match": marked["etag"]} if "etag" in marked else {}
            etag = _file(session, file, asked)
            if etag is None:
                return
        else:
            etag = ""
            _pages(session, file)

        def remember(tx: Connection, _batch: str | None, _problem: str | None) -> None:
            memory.keep_mark(tx, feed.feed, {"etag": etag} if etag else {})

        yield Fetched(file.done(), remember)


def _file(session: _Session, file: Spool, asked: dict[str, str]) -> str | None:
    """Spool the body; returns its ETag (empty where it has none), None where it has not changed."""
    for attempt in _attempts():
        with attempt:
            file.restart()
            with _get(session, session.transport.url, asked) as response:
                if response.status_code == httpx2.codes.NOT_MODIFIED:
                    return None
                for piece in response.iter_raw():
                    _in_time(session)
                    file.write(piece)
                return str(response.headers.get("ETag", ""))
    raise AssertionError("unreachable")


def _pages(session: _Session, file: Spool) -> None:
    """Spool the rows of all pages, one JSON object a line."""
    transport, page, cursor = session.transport, 1, ""
    url = httpx2.URL(transport.url)
    for _ in range(transport.pages):
        asked = {"page": str(page), "cursor": cursor}.get(transport.paging, "")
        rows, document, link = _page(session, url.copy_set_param(transport.parameter, asked) if asked else url)
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")
        page += 1
        if transport.paging == "link":
            if link is None:
                return
            url = _same_origin(session, url.join(link))
        elif transport.paging == "cursor":
            if not (cursor := str(document.get(transport.member) or "") if isinstance(document, dict) else ""):
                return
        elif not rows:
            return
    raise TooLarge(f"{transport.url}: more than {transport.pages:,} pages")


def _page(session: _Session, url: httpx2.URL) -> tuple[list[Any], Any, str | None]:
    """A page's rows, the whole of it, and the next page's link. Numbers stay the text that they were."""
    body = bytearray()
    link = None
    for attempt in _attempts():
        with attempt:
            body.clear()
            with _get(session, str(url), {}) as response:
                link = response.links.get("next", {}).get("url")
                for piece in response.iter_raw():
                    _in_time(session)
                    body += piece
                    if len(body) > PAGE_BYTES:
                        raise TooLarge(f"{url.host}: a page of more than {PAGE_BYTES:,} bytes; ask for smaller ones")
    try:
        document = json.loads(bytes(body), parse_int=str, parse_float=str, parse_constant=str)
    except (ValueError, RecursionError) as error:
        raise Invalid(f"{url.host}: a page is no JSON") from error
    rows = document.get(session.transport.rows) if session.transport.rows and isinstance(document, dict) else document
    if not isinstance(rows, list):
        raise Invalid(f"{url.host}: a page holds no list of rows where the feed's `transport.rows` says")
    return rows, document, link


@contextmanager
def _get(session: _Session, url: str, headers: dict[str, str]) -> Iterator[httpx2.Response]:
    """A GET whose redirects stay on its origin. Raises _Transient, or Unavailable for what will not change."""
    at = httpx2.URL(url)
    for _ in range(REDIRECTS + 1):
        with session.client.stream("GET", at, headers={**session.headers, **headers}) as response:
            if response.is_redirect and "Location" in response.headers:
                at = _same_origin(session, at.join(response.headers["Location"]))
                continue
            _judge(response)
            yield response
            return
    raise Unavailable(f"{at.host}: redirects without end")


def _same_origin(session: _Session, url: httpx2.URL) -> httpx2.URL:
    asked = httpx2.URL(session.transport.url)
    if (url.scheme, url.host, url.port) != (asked.scheme, asked.host, asked.port):
        raise Unavailable(f"{asked.host}: leads to another origin, {url.host}: if that is right, name it in the feed")
    return url


def _judge(response: httpx2.Response) -> None:
    status, host = response.status_code, response.url.host
    if status in TRANSIENT:
        asked = response.headers.get("Retry-After", "")
        raise _Transient(f"{host}: answered {status}", float(asked) if asked.isdigit() else None)
    if status >= 300 and status != httpx2.codes.NOT_MODIFIED:
        raise Unavailable(f"{host}: answered {status}")
    if "Content-Encoding" in response.headers:
        raise Invalid(f"{host}: answered in a coding that was not asked for")


def _attempts() -> Any:
    """Each attempt that may be made; the last one's error is told as it is."""
    return stamina.retry_context(_rest, attempts=ATTEMPTS, timeout=None, wait_initial=0.5, wait_max=LONGEST_RETRY_S)


def _rest(error: Exception) -> bool | timedelta:
    if isinstance(error, _Transient):
        return True if error.rest_s is None else timedelta(seconds=min(error.rest_s, LONGEST_RETRY_S))
    return isinstance(error, httpx2.TransportError) and not isinstance(error, httpx2.UnsupportedProtocol)


def _in_time(session: _Session) -> None:
    if time.monotonic() > session.until:
        raise Unavailable(f"{httpx2.URL(session.transport.url).host}: not done within {WHOLE_WITHIN_S:.0f} s")


@contextmanager
def _session(transport: Https, reveal: Reveal) -> Iterator[_Session]:
    host = httpx2.URL(transport.url).host
    try:
        trusted = ssl.create_default_context(cafile=transport.ca or None)
    except OSError as error:
        raise SettingError(f"transport.ca: {transport.ca}: {error.strerror or 'no certificates'}") from error
    timeout = httpx2.Timeout(WITHIN_S, connect=CONNECT_WITHIN_S)
    # Proxies of the environment are not used: a feed's way is the feed's.
    with httpx2.Client(verify=trusted, timeout=timeout, trust_env=False) as client:
        headers = {"Accept-Encoding": "identity", "User-Agent": "bureau"}
        session = _Session(client, transport, headers, time.monotonic() + WHOLE_WITHIN_S)
        try:
            if transport.token_url:
                headers["Authorization"] = f"Bearer {_token(session, reveal(transport.client_secret))}"
            yield session
        except _Transient as error:
            raise Unavailable(f"{error}, {ATTEMPTS} times") from error
        except httpx2.HTTPError as error:
            raise Unavailable(f"{host}: {type(error).__name__}") from error


def _token(session: _Session, secret: str) -> str:
    """An access token by client credentials (RFC 6749 §4.4)."""
    transport = session.transport
    form = {"grant_type": "client_credentials", **({"scope": transport.scope} if transport.scope else {})}
    auth = httpx2.BasicAuth(transport.client_id, secret)
    for attempt in _attempts():
        with attempt:
            response = session.client.post(transport.token_url, data=form, auth=auth)
            _judge(response)
            try:
                return str(json.loads(response.content[:TOKEN_BYTES])["access_token"])
            except (ValueError, KeyError, TypeError) as error:
                raise Unavailable(f"{response.url.host}: gave no access token") from error
    raise AssertionError("unreachable")
