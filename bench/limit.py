# SPDX-License-Identifier: Apache-2.0
"""The limit: pgbench sending the SQL of one question as a single statement, over the same data.

It finds the token with its client and institution, the consents, a spent Idempotency-Key, the publication,
the name, the folios with their data keys, and the overlays, and writes the entry, which commits (and is noted
as unsealed by the table's own trigger). It receives every byte of ciphertext and does nothing with it: no
Python, no HTTP, no decryption. What no build of ours can pass. Which enterprise it asks about is looked up
beforehand, because pgbench draws numbers only: as a parameter it lets partitions be pruned early, which gave
more than a join with the lookup did.
"""

import os
import re
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import create_engine, text

from access import tokens
from bench.house import COMPACTED, House

CLIENTS, THREADS = 16, 2
ENTRY_BYTES = 1_000  # about what an entry of an answered question takes

STATEMENT = """
\\set n random(1, {enterprises})
SELECT uscc FROM bench_enterprise WHERE n = :n \\gset
WITH asked AS MATERIALIZED (
  SELECT :uscc::text AS uscc, gen_random_uuid()::text AS key
), holder AS MATERIALIZED (
  SELECT token.client, token.scopes, token.expires_at, token.revoked_at, client.status,
         institution.id AS institution, institution.name, institution.kind, institution.status AS standing,
         institution.products, institution.purposes
  FROM token
  JOIN client ON client.id = token.client
  JOIN institution ON institution.id = client.institution
  WHERE token.hash = '\\x{token_hash}'
), spent AS (
  SELECT entry.bytes FROM entry, holder
  WHERE entry.actor = 'client:' || holder.client AND entry.idempotency_key = (SELECT key FROM asked)
), candidates AS MATERIALIZED (
  SELECT consent.* FROM consent, holder
  WHERE consent.uscc = :uscc::text AND consent.deciding
    AND consent.grantee IN (holder.institution, 'kind:' || holder.kind, 'platform')
), known AS (
  SELECT number, time FROM publication WHERE number = (SELECT max(number) FROM publication)
), named AS (
  SELECT directory.name FROM directory JOIN batch ON batch.id = directory.batch
  WHERE directory.uscc = :uscc::text AND batch.publication IS NOT NULL
  ORDER BY batch.publication DESC LIMIT 1
), written AS (
  INSERT INTO entry (id, time, type, actor, idempotency_key, uscc, institution, consent, outcome, billable,
                     operator, reference, salt, leaf_hash, bytes, facet, classes)
  SELECT gen_random_uuid()::text, now(), 'query.answered', 'client:' || holder.client, asked.key, asked.uscc,
         holder.institution, candidates.id, 'answered', true, 'OP-00042', NULL,
         uuid_send(gen_random_uuid()), sha256(decode('00' || repeat('5a', {entry_bytes}), 'hex')),
         decode(repeat('5a', {entry_bytes}), 'hex'), 'query.answered answered - pre_loan records', 127
  FROM asked, holder, candidates WHERE candidates.scope = 'query'
  RETURNING id
)
SELECT 'asked' AS kind, (SELECT to_jsonb(holder) FROM holder) ->> 'scopes' AS text, known.number AS a, 0 AS b,
       0 AS c, 0 AS d, (SELECT bytes FROM spent) AS wrapped, NULL::bytea AS ciphertext,
       (SELECT name FROM named) AS name, known.time, (SELECT id FROM written) AS entry
FROM known
UNION ALL
SELECT 'consent', concat_ws(' ', id, status, classes, purposes, products), version, 0, 0, 0, NULL, NULL,
       scope || grantee, expires_at, NULL
FROM candidates
UNION ALL
SELECT 'folio', NULL, folio.class, folio.batch, folio.part, folio.key_version, data_key.wrapped,
       folio.ciphertext, NULL, NULL, NULL
FROM folio
JOIN batch ON batch.id = folio.batch
LEFT JOIN data_key ON data_key.uscc = :uscc::text AND data_key.version = folio.key_version
WHERE folio.uscc = :uscc::text AND folio.class IN (1, 2, 3, 4, 5, 6, 7)
  AND batch.publication IS NOT NULL
UNION ALL
SELECT 'overlay', id, class, since, until, key_version, NULL, ciphertext, NULL, NULL, NULL
FROM overlay WHERE uscc = :uscc::text AND class IN (1, 2, 3, 4, 5, 6, 7);
"""


def rate(house: House, seconds: float) -> float:
    """Questions a second by pgbench with 16 connections. Raises RuntimeError with what pgbench said."""
    script = STATEMENT.format(
        enterprises=len(house.usccs),
        token_hash=tokens.token_hash(house.bearers()[0]).hex(),
        entry_bytes=ENTRY_BYTES,
    )
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
        file.write(script)
        file.flush()
        said = _pgbench(house, Path(file.name), seconds)
    found = re.search(r"tps = ([\d.]+)", said)
    if found is None or "number of failed transactions: 0 " not in said:
        raise RuntimeError(f"pgbench: {said}")
    return float(found[1])


def number_enterprises(house: House) -> None:
    """The table in which pgbench, which knows numbers only, looks up an enterprise."""
    engine = create_engine(house.server.url(COMPACTED))
    with engine.begin() as tx:
        tx.execute(text("DROP TABLE IF EXISTS bench_enterprise"))
        tx.execute(text("CREATE TABLE bench_enterprise (n integer PRIMARY KEY, uscc text NOT NULL)"))
        rows: Sequence[dict[str, object]] = [{"n": n, "uscc": uscc} for n, uscc in enumerate(house.usccs, 1)]
        tx.execute(text("INSERT INTO bench_enterprise VALUES (:n, :uscc)"), rows)
        tx.execute(text("ANALYZE bench_enterprise"))
    engine.dispose()


def _pgbench(house: House, script: Path, seconds: float) -> str:
    command = [str(house.server.binaries / "pgbench"), "-n", "-M", "prepared"]
    command += ["-c", str(CLIENTS), "-j", str(THREADS), "-T", str(max(1, round(seconds))), "-f", str(script)]
    # As the service itself asks of its connections: plans are kept.
    environment = os.environ | {"PGOPTIONS": "-c plan_cache_mode=force_generic_plan"}
    done = subprocess.run(
        [*command, house.server.url(COMPACTED)], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"pgbench: {done.stderr.strip()}")
    return done.stdout
