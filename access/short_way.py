# SPDX-License-Identifier: Apache-2.0
"""The short way to a token, for the one request that comes by the thousand: a client that signs, as it did before.

It only ever grants. Whatever it would refuse, and whatever it does not know (another grant, a DPoP proof, a
parameter too many), goes the whole way from its beginning (`access/oauth.py`), is judged there and told there. So
there is one place for errors, and the short way is right if it grants nothing that the whole way would not, in the
same words: tests/access/test_short_way.py asks both. The judgements are the same functions.

1. the form has these parameters and no others, each once
2. what the assertion claims is good now (`access/assertions.py`)
3. a client that is remembered signed it, and nothing that is known of it refuses
4. its scope is one that it is registered for
5. the token is kept and the `jti` spent, in one statement that does nothing unless all that was remembered is still so
"""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

from access import assertions, authentication, issuing, networks, oauth, signing_clients
from access.networks import Network
from access.registered import Client
from kernel import clock
from kernel.errors import BureauError
from kernel.jose import Unacceptable

PATH = "/oauth/token"
_GRANT = oauth.ClientCredentialsGrant.GRANT_TYPE
_NEEDED = {"grant_type", "client_assertion_type", "client_assertion"}
_KNOWN = {*_NEEDED, "client_id", "scope"}


class ShortWay:
    """What `kernel.shortened.shorten` asks; made for an issuer, and for the proxies that are believed."""

    def __init__(self, issuer: str, trusted_proxies: Sequence[Network]) -> None:
        self._issuer, self._trusted = issuer, trusted_proxies

    def __call__(self, environment: Mapping[str, Any], body: bytes) -> dict[str, Any] | None:
        """The token endpoint's answer, its token being kept; None where the request must go the whole way."""
        form, now = _form(body), clock.now()
        if form is None or "HTTP_AUTHORIZATION" in environment or "HTTP_DPOP" in environment:
            return None
        try:
            said = assertions.read(form["client_assertion"], self._issuer, now)
        except Unacceptable:
            return None
        seen = signing_clients.recall(said.client_id, now)
        key = authentication.signed_with(seen.client, said) if seen is not None else None
        if seen is None or key is None or not self._is_welcome(seen.client, environment):
            return None
        client, scope = seen.client, form.get("scope")
        if client.dpop_bound or form.get("client_id", client.client_id) != client.client_id:
            return None
        if oauth.unregistered(client, scope):
            return None
        issued = oauth.server.generate_token(_GRANT, client, scope=scope, include_refresh_token=False)
        use, scopes = authentication.use_of_assertion(said), frozenset(issued["scope"].split())
        is_kept = issuing.store_as_seen(seen.parameters(key), use, issued["access_token"], scopes, client.client_id)
        return issued if is_kept else None

    def _is_welcome(self, client: Client, environment: Mapping[str, Any]) -> bool:
        caller = networks.of_environment(environment, self._trusted) if client.networks else None
        try:
            authentication.require_welcome(client, caller)
        except BureauError:
            return False
        return True


def _form(body: bytes) -> dict[str, str] | None:
    """The parameters, if they are those of the one request that is answered here, each once."""
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=len(_KNOWN))
    except ValueError:
        return None
    form = dict(pairs)
    if len(form) < len(pairs) or not _NEEDED <= form.keys() <= _KNOWN:
        return None
    return form if form["grant_type"] == _GRANT and form["client_assertion_type"] == assertions.TYPE else None
