# SPDX-License-Identifier: Apache-2.0
"""Who may call: institutions, sources, clients, people, their tokens and limits.

Secrets are kept only as hashes, TOTP's encrypted.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    false,
    text,
)

from kernel.db import Instant, metadata

institution = Table(
    "institution",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("name", String(200), nullable=False, unique=True),
    Column("kind", String(32), nullable=False),
    Column("status", String(16), nullable=False),
    Column("products", String(400), nullable=False),  # comma-separated; empty allows all
    Column("purposes", String(400), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("applied_by", String(160)),
    Column("reason", String(400)),  # of the last suspension or closing
    Column("contract_ref", String(120)),
    Column("contract_until", Date),  # its last day, Asia/Shanghai
    Column("networks", String(2000)),  # comma-separated CIDRs; NULL or empty allows all
    Column("per_second", Integer),  # requests of all its clients together; NULL sets no limit
    Column("per_day", Integer),  # questions a day of Asia/Shanghai
)

source = Table(
    "source",
    metadata,
    Column("code", String(8), primary_key=True),  # as in the catalogue
    Column("status", String(16), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("applied_by", String(160)),
    Column("reason", String(400)),
    Column("basis", String(400)),  # the law, regulation or agreement that it delivers under
    Column("contract_ref", String(120)),
    Column("contract_until", Date),
    Column("networks", String(2000)),
)

client = Table(
    "client",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("auth_method", String(32), nullable=False),
    Column("institution", String(36), ForeignKey("institution.id")),
    Column("source", String(8)),
    Column("scopes", String(400), nullable=False),  # space-separated, as in RFC 6749 §3.3
    Column("status", String(16), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("per_second", Integer),  # NULL: what is shipped (access/limits.py)
    Column("algorithms", String(80)),  # space-separated: what it may sign with; NULL allows all that there are
    Column("dpop_bound", Boolean, nullable=False, server_default=false()),  # gets no token but a bound one (RFC 9449)
)

client_secret = Table(
    "client_secret",
    metadata,
    Column("client", String(64), ForeignKey("client.id"), primary_key=True),
    Column("hash", LargeBinary, primary_key=True),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant),  # set when a newer one takes its place
)

client_redirect = Table(
    "client_redirect",
    metadata,
    Column("client", String(64), ForeignKey("client.id"), primary_key=True),
    Column("uri", String(400), primary_key=True),  # compared character by character
)

# A client's request to an enterprise by redirect, from the push to the token that its code bought.
authorization_request = Table(
    "authorization_request",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("reference", LargeBinary, nullable=False, unique=True),  # SHA-256 of what request_uri ends with
    Column("client", String(64), ForeignKey("client.id"), nullable=False),
    Column("redirect_uri", String(400), nullable=False),
    Column("state", String(400)),
    Column("scope", String(400), nullable=False),
    Column("code_challenge", String(43), nullable=False),  # S256
    Column("dpop_jkt", String(43)),  # the thumbprint of the key that the token will be bound to
    Column("details", Text, nullable=False),  # authorization_details (RFC 9396), one object, canonical JSON
    Column("pushed_at", Instant, nullable=False),
    Column("opened_at", Instant),  # request_uri is spent
    Column("browser", LargeBinary),  # SHA-256 of the cookie of the browser in which it was opened
    Column("consent", String(36)),  # the request that it became in the enterprise's inbox
    Column("uscc", String(32)),
    Column("answered_at", Instant),
    Column("person", String(64), ForeignKey("person.username")),  # who granted
    Column("granted", Text),  # the details as they were granted
    Column("code", LargeBinary, unique=True),  # SHA-256
    Column("code_given_at", Instant),
    Column("token", LargeBinary),  # SHA-256 of the token that the code bought; then the code is spent
)
Index("ix_authorization_request_pushed_at", authorization_request.c.pushed_at)
Index("ix_authorization_request_uscc_client", authorization_request.c.uscc, authorization_request.c.client)

# The public keys of clients that sign, as JWKs under their thumbprints (RFC 7638).
client_key = Table(
    "client_key",
    metadata,
    Column("client", String(64), ForeignKey("client.id"), primary_key=True),
    Column("thumbprint", String(64), primary_key=True),
    Column("kid", String(200)),  # the client's own name for it
    Column("jwk", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant),  # set when others take its place
)

# Where a client publishes its keys. The worker fetches them; no request ever does.
client_jwks = Table(
    "client_jwks",
    metadata,
    Column("client", String(64), ForeignKey("client.id"), primary_key=True),
    Column("uri", String(2000), nullable=False),
    Column("due_at", Instant, nullable=False),
    Column("wished_at", Instant, nullable=False),  # when a kid that was not known last made it due
    Column("fetched_at", Instant),  # the last time that it could be
    Column("failures", Integer, nullable=False),  # since then
    Column("fault", String(200)),  # of the last fetch
)

# What was used once (access/spent.py), few enough to need no index on `until`. Of proofs at resources a crash may
# lose the last: the table is UNLOGGED.
spent = Table(
    "spent",
    metadata,
    Column("key", LargeBinary, primary_key=True),
    Column("until", Instant, nullable=False),
)

spent_proof = Table(
    "spent_proof",
    metadata,
    Column("key", LargeBinary, primary_key=True),
    Column("until", Instant, nullable=False),
)

switch = Table(
    "switch",
    metadata,
    Column("target", String(80), primary_key=True),  # all, client:ID, institution:ID
    Column("reason", String(400), nullable=False),
    Column("stopped_by", String(160), nullable=False),
    Column("stopped_at", Instant, nullable=False),
)

# Unlogged on PostgreSQL: what was counted in a second may be lost with a crash.
pace = Table(
    "pace",
    metadata,
    Column("subject", String(120), primary_key=True),
    Column("window", BigInteger, primary_key=True, autoincrement=False),  # windows since 1970
    Column("taken", BigInteger, nullable=False),
)

day_quota = Table(
    "day_quota",
    metadata,
    Column("subject", String(120), primary_key=True),
    Column("window", BigInteger, primary_key=True, autoincrement=False),  # days of Asia/Shanghai since 1970
    Column("taken", BigInteger, nullable=False),
)

person = Table(
    "person",
    metadata,
    Column("username", String(64), primary_key=True),
    Column("password_hash", String(200), nullable=False),
    Column("role", String(32), nullable=False),
    Column("uscc", String(32)),
    Column("status", String(16), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("name", String(200)),
    Column("staff_no", String(64)),  # of staff only: one natural person, one role
    Column("totp_secret", LargeBinary),  # under the key `people`, bound to the username
    Column("totp_confirmed_at", Instant),
    Column("totp_step", BigInteger),  # the last time step whose code was spent
)
_ACTIVE = text("status = 'active'")
Index("uq_person_staff_no", person.c.staff_no, unique=True, postgresql_where=_ACTIVE, sqlite_where=_ACTIVE)

recovery_code = Table(
    "recovery_code",
    metadata,
    Column("person", String(64), ForeignKey("person.username"), primary_key=True),
    Column("hash", LargeBinary, primary_key=True),
)

invitation = Table(
    "invitation",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("role", String(32), nullable=False),
    Column("uscc", String(32)),
    Column("name", String(200), nullable=False),
    Column("staff_no", String(64)),
    Column("code_hash", LargeBinary, nullable=False, unique=True),
    Column("second_hash", LargeBinary),  # of the half that the second person hands over
    Column("made_by", String(64), nullable=False),
    Column("made_at", Instant, nullable=False),
    Column("confirmed_by", String(64)),
    Column("expires_at", Instant, nullable=False),
    Column("accepted_at", Instant),
)

# How often signing in was tried in vain: for a name from a network, for a name, from a network; names as hashes,
# because what is typed as a name may be a password.
sign_in_tries = Table(
    "sign_in_tries",
    metadata,
    Column("subject", LargeBinary, primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("since", Instant, nullable=False),
    Column("until", Instant),  # locked until then
    Column("succeeded_at", Instant),
    Column("changed_at", Instant, nullable=False),
)
Index("ix_sign_in_tries_changed_at", sign_in_tries.c.changed_at)

token = Table(
    "token",
    metadata,
    Column("hash", LargeBinary, primary_key=True),
    Column("client", String(64), ForeignKey("client.id")),
    Column("person", String(64), ForeignKey("person.username")),
    Column("scopes", String(400), nullable=False),
    Column("issued_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("revoked_at", Instant),
    Column("session", String(36)),  # of people only: the session's name in lists
    Column("last_used_at", Instant),  # of people only, to the minute
    Column("consent", String(36)),  # bought by a code: good under this consent alone
    Column("jkt", String(43)),  # thumbprint of the key that it is bound to (RFC 9449 §6)
)
Index("ix_token_expires_at", token.c.expires_at)
_OF_PERSON = text("person IS NOT NULL")
Index(
    "uq_token_person_session",
    token.c.person,
    token.c.session,
    unique=True,
    postgresql_where=_OF_PERSON,
    sqlite_where=_OF_PERSON,
)
