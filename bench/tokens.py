# SPDX-License-Identifier: Apache-2.0
"""Tokens for clients that sign (private_key_jwt, ES256), ours against node oidc-provider.

Ours: `bureau serve`, two workers; each request is authenticated, its `jti` spent and its token kept durably, in one
commit. The peer: one process, everything in memory (bench/provider.mjs). Both are asked by the same load generator,
with assertions signed beforehand; PostgreSQL and the generator share the machine with whoever is measured.
"""

import itertools
import json
import statistics
from collections.abc import Iterator, Sequence
from urllib.parse import urlencode

from sqlalchemy import create_engine

from access import clients
from access.client_keys import Keys
from access.models import client as client_table
from bench import load, servers
from bench.house import COMPACTED, House
from bench.load import CONNECTIONS, Load
from bench.results import Goal, Pace, Result
from kernel import db, keys, signing
from tests.access.signing import Signer, es256

Signing = Sequence[tuple[str, Signer]]  # client ids with their keys
READY_A_SECOND = 4_000  # assertions signed before a round, for each of its seconds; more are signed as it goes


def tokens(house: House, pace: Pace) -> Iterator[Result]:
    registered, kept, held = register(house), [], []
    with servers.bureau(house.environment()) as ours, servers.oidc_provider(peer_environment(registered)) as other:
        for _ in range(pace.rounds):
            kept.append(ask(ours.port, "/oauth/token", registered, pace.seconds))
            held.append(ask(other.port, "/token", registered, pace.seconds))
    fast, slow = (statistics.median(one.rate for one in rounds) for rounds in (kept, held))
    tails = (statistics.median(one.milliseconds(0.99) for one in rounds) for rounds in (kept, held))
    note = f"p99 {' against '.join(f'{tail:.0f} ms' for tail in tails)}; "
    note += f"the load generator took {kept[-1].own_cpu:.0%} of a core"
    yield Result("tokens", f"{fast:,.0f}/s", f"{slow:,.0f}/s", fast / slow, Goal(least=0.75), note)


def register(house: House) -> Signing:
    """Clients of the house's bank, one for each connection."""
    engine = create_engine(house.server.url(COMPACTED))
    db.use(engine)
    signers = [es256(f"key-{number}") for number in range(CONNECTIONS)]
    with db.reading() as reading:
        keys.use(keys.open_purpose_keys(reading, keys.read_root(house.root_key)))
        signing.open_signers(reading)
        bank = reading.scalar(client_table.select().with_only_columns(client_table.c.institution).limit(1))
    with db.transaction() as tx:
        ids = [clients.add_signing(tx, str(bank), ("credit:query",), Keys(each.jwks)) for each in signers]
    engine.dispose()
    db.use(None)
    return list(zip(ids, signers, strict=True))


def peer_environment(registered: Signing) -> dict[str, str]:
    """What the peer is told of its clients."""
    return {"CLIENTS": json.dumps([{"client_id": each, "jwks": signer.jwks} for each, signer in registered])}


def ask(port: int, path: str, registered: Signing, seconds: float) -> Load:
    """Ask one server for tokens, each connection as a client of its own."""
    ready = int(READY_A_SECOND * (seconds + load.WARM_UP_S) / len(registered))
    asked = [_ready(requests(port, path, client_id, signer), ready) for client_id, signer in registered]
    return load.drive(port, asked, seconds)


def requests(port: int, path: str, client_id: str, signer: Signer) -> Iterator[bytes]:
    """Token requests without end, each with an assertion of its own."""
    while True:
        form = {"grant_type": "client_credentials", **signer.form(client_id, f"http://127.0.0.1:{port}")}
        body = urlencode(form).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: {len(body)}\r\n"
        yield head.encode() + b"Content-Type: application/x-www-form-urlencoded\r\n\r\n" + body


def _ready(endless: Iterator[bytes], count: int) -> Iterator[bytes]:
    """The first ones made now, so that signing them costs the round nothing."""
    return itertools.chain(list(itertools.islice(endless, count)), endless)
