# SPDX-License-Identifier: Apache-2.0
"""Where callers may call from: allow-lists of CIDRs, and the address of a caller that counts.

That address is the connection's peer, unless the peer is a proxy that the operator trusts: then the last hop of
X-Forwarded-For that no trusted proxy wrote of itself. Whatever stands further left a stranger may have made up.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from flask import current_app, request

from kernel.errors import Invalid, NotPermitted

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
MAX_LISTED = 2_000  # characters of a list


def parse(listed: str) -> tuple[Network, ...]:
    """The networks of a comma-separated list, v4 and v6; raises ValueError for what is none.

    Strict: an address with bits beyond its mask is a slip of someone's pen, and which way is not ours to guess.
    """
    return tuple(ip_network(each.strip()) for each in listed.split(",")) if listed.strip() else ()


def checked(listed: Iterable[str]) -> str:
    """Networks as they are stored: in their canonical form, comma-separated. Raises Invalid naming the bad one."""
    known = []
    for each in listed:
        try:
            known += [str(network) for network in parse(each)]
        except ValueError as error:
            wrong = {"networks": [f"{each!r} is no network such as 192.0.2.0/24 or 2001:db8::/32"]}
            raise Invalid(f"the allow-list: {error}", errors=wrong) from error
    stored = ",".join(dict.fromkeys(known))
    if len(stored) > MAX_LISTED:
        raise Invalid("the allow-list is too long", errors={"networks": [f"at most {MAX_LISTED} characters"]})
    return stored


def is_within(address: Address | None, networks: Iterable[Network]) -> bool:
    return address is not None and any(address in network for network in networks)


def require_allowed(listed: str | None, caller: Address | None) -> None:
    """Raise NotPermitted (`network-not-allowed`) unless the list is empty or holds the caller's address."""
    if listed and not is_within(caller, _parsed(listed)):
        raise NotPermitted(
            f"calls from {caller or 'an unknown address'} are not allowed: the contract names the networks",
            slug="network-not-allowed",
        )


def counted(peer: str | None, forwarded: Sequence[str], trusted: Iterable[Network]) -> Address | None:
    """The address that counts (see above), from the peer's and the values of X-Forwarded-For, in order.

    None where it cannot be told: no peer (a local socket), or a trusted proxy wrote what is no address.
    """
    trusted = tuple(trusted)
    address = _address(peer or "")
    hops = [hop for value in forwarded for hop in value.split(",")]
    while hops and is_within(address, trusted):
        address = _address(hops.pop())
    return address


def of_caller() -> Address | None:
    """The address of the present request that counts."""
    return of_environment(request.environ, current_app.config.get("BUREAU_TRUSTED_PROXIES", ()))


def of_environment(environment: Mapping[str, Any], trusted: Sequence[Network]) -> Address | None:
    """The address that counts, of a request's WSGI environment."""
    forwarded = environment.get("HTTP_X_FORWARDED_FOR", "") if trusted else ""
    return counted(environment.get("REMOTE_ADDR"), (forwarded,) if forwarded else (), trusted)


@lru_cache(maxsize=1024)
def _parsed(listed: str) -> tuple[Network, ...]:
    return parse(listed)


def _address(text: str) -> Address | None:
    """An address as proxies write it: `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1`, `[2001:db8::1]:4711`."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address  # a v4 caller at a v6 socket is still a v4 caller
