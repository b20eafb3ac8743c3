# SPDX-License-Identifier: Apache-2.0
"""The one way out: HTTP requests to addresses that others gave us, so that nobody borrows our place in the network.

An institution names a URL; what it resolves to is judged at each request and connected to as judged, so that a name
cannot point elsewhere between the two (SSRF, DNS rebinding). Public addresses are reached by https only. What is not
public (the dedicated lines of banks and departments, this machine) is reached only where the operator lists its
network, and there http may do. Redirects are not followed, proxies of the environment not used, answers bounded.
"""

import socket
import ssl
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any
from urllib.parse import urlsplit

import httpcore2

from access.networks import Address, Network, is_within
from kernel.errors import BureauError, Invalid

MAX_URL_CHARACTERS = 2_000
MAX_REPLY_BYTES = 64 * 1024
CONNECT_WITHIN_S, WITHIN_S = 5.0, 15.0  # to connect; for everything together
# Addresses that carry an IPv4 address within: NAT64 (RFC 6052); 6to4, Teredo and mapped ones the library knows.
_NAT64 = IPv6Network("64:ff9b::/96")


class Unreachable(BureauError):
    """The other side cannot be reached, may not be, or did not answer in time; `detail` says which."""

    slug = "unreachable"


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back: status, headers (names in small letters), the body as it was sent (no coding is asked for)."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def require_form(url: str, schemes: Sequence[str] = ("https", "http")) -> None:
    """Raise Invalid unless `url` can be one of ours: absolute, with a host, without user, fragment or blanks."""
    told = []
    if not url.isascii() or not url.isprintable() or " " in url or len(url) > MAX_URL_CHARACTERS:
        told.append(f"at most {MAX_URL_CHARACTERS} printable ASCII characters, without blanks")
    else:
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            told.append("not a URL")
        else:
            if parts.scheme not in schemes or not parts.hostname or port == 0:
                told.append(f"must begin with {' or '.join(f'{scheme}://' for scheme in schemes)} and name a host")
            if parts.username is not None or parts.password is not None or parts.fragment:
                told.append("must carry neither user nor password nor fragment")
    if told:
        raise Invalid("the url is not one that can be called", errors={"url": told})


def request(
    method: str,
    url: str,
    listed: Iterable[Network],
    *,
    content: bytes = b"",
    headers: Mapping[str, str] | None = None,
    most_bytes: int = MAX_REPLY_BYTES,
) -> Reply:
    """One request. `listed` are the networks, public or not, that the operator lets us call into.

    Raises Invalid for what is no URL, Unreachable for all else that keeps an answer from coming.
    """
    require_form(url)
    host = urlsplit(url).hostname
    sent: list[tuple[bytes | str, bytes | str]] = [("User-Agent", "bureau"), *(headers or {}).items()]
    way = _Way(tuple(listed), url.startswith("https:"), time.monotonic() + WITHIN_S)
    try:
        with (
            httpcore2.ConnectionPool(ssl_context=ssl.create_default_context(), network_backend=way) as pool,
            pool.stream(method, url, headers=sent, content=content) as response,
        ):
            told = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}
            return Reply(response.status, told, _bounded(response.iter_stream(), most_bytes))
    except (*_FAILURES, OSError) as error:
        raise Unreachable(f"{host} gave no answer: {type(error).__name__}") from error


class _Way(httpcore2.NetworkBackend):
    """Connections to judged addresses, of which nothing takes longer than the time that is left."""

    def __init__(self, listed: Sequence[Network], is_tls: bool, deadline: float) -> None:
        self._listed, self._is_tls, self._deadline = listed, is_tls, deadline

    def connect_tcp(self, host: str, port: int, *_: object, **__: object) -> httpcore2.NetworkStream:
        address = self._judged(host, port)
        left = min(CONNECT_WITHIN_S, self._deadline - time.monotonic())
        return _Timed(httpcore2.SyncBackend().connect_tcp(str(address), port, max(0.001, left)), self._deadline)

    def _judged(self, host: str, port: int) -> Address:
        """The address to connect to; every address of the name must be allowed, or none is."""
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise Unreachable(f"{host} cannot be resolved") from error
        addresses = [ip_address(str(each[4][0]).partition("%")[0]) for each in found]
        for address in addresses:
            if is_within(_plain(address), self._listed):
                continue
            if not _is_public(address):
                raise Unreachable(f"{host} is not a public address, and the operator lists no network that it is in")
            if not self._is_tls:
                raise Unreachable(f"{host} is public: https only")
        return addresses[0]


class _Timed(httpcore2.NetworkStream):
    """A stream that ends at the deadline, however slowly the other side lets its bytes drip."""

    def __init__(self, stream: httpcore2.NetworkStream, deadline: float) -> None:
        self._stream, self._deadline = stream, deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._left(httpcore2.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._left(httpcore2.WriteTimeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        left = self._left(httpcore2.ConnectTimeout)
        return _Timed(self._stream.start_tls(ssl_context, server_hostname, left), self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)

    def _left(self, late: type[Exception]) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise late
        return left


def _is_public(address: Address) -> bool:
    """Whether an address, and any IPv4 address that it carries within, belongs to the public internet."""
    carried = [_plain(address)]
    if isinstance(address, IPv6Address):
        carried += [each for each in (address.sixtofour, *(address.teredo or ())) if each is not None]
        if address in _NAT64:
            carried.append(IPv4Address(int(address) & 0xFFFF_FFFF))
    return all(each.is_global and not each.is_multicast for each in (address, *carried))


def _plain(address: Address) -> Address:
    return (address.ipv4_mapped if isinstance(address, IPv6Address) else None) or address


def _bounded(pieces: Iterable[bytes], most_bytes: int) -> bytes:
    body = bytearray()
    for piece in pieces:
        body += piece
        if len(body) > most_bytes:
            raise Unreachable(f"the answer is longer than {most_bytes} bytes")
    return bytes(body)


_FAILURES = (httpcore2.NetworkError, httpcore2.ProtocolError, httpcore2.TimeoutException)
