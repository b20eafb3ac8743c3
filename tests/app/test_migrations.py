# SPDX-License-Identifier: Apache-2.0
"""The migrations: from nothing to exactly the tables that the code knows, on both engines."""

import re
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, MetaData, bindparam, text

from access import registered
from app import counter, database
from audit import trail
from audit.events import Event
from consent import consents, store
from kernel import canonical, clock, db, keys, signing
from tests import factories
from tests.conftest import House

PARTITION = re.compile(r"_p\d\d$")


def test_there_is_one_newest_migration(open_house: House) -> None:
    with db.transaction() as tx:
        script = ScriptDirectory.from_config(database.alembic_config(tx))
        assert len(script.get_heads()) == 1
        assert MigrationContext.configure(tx).get_current_revision() == script.get_current_head()


def test_the_migrated_database_has_the_tables_that_the_code_knows(open_house: House) -> None:
    with db.transaction() as tx:
        assert differences(tx) == []


def test_a_table_that_the_code_does_not_know_would_be_found(open_house: House) -> None:
    with db.transaction() as tx:
        tx.execute(text("CREATE TABLE stray (id INTEGER)"))
        tx.execute(text("ALTER TABLE person ADD COLUMN shoe_size INTEGER"))
    with db.transaction() as tx:
        assert {kind for kind, *_ in differences(tx)} == {"remove_table", "remove_column"}


def test_migrating_once_more_changes_nothing(open_house: House) -> None:
    engine = db.current()
    database.migrate(engine)
    database.migrate(engine)
    with db.transaction() as tx:
        assert differences(tx) == []


def test_a_bureau_of_the_first_version_is_upgraded_with_its_consents(open_house: House) -> None:
    engine, root = db.current(), keys.read_root(open_house.home / "keys" / "root.key")
    enterprise = factories.new_uscc()
    assert isinstance(engine, Engine)
    with engine.begin() as tx:
        _empty(tx)
        command.upgrade(database.alembic_config(tx), "0001")
        document = {"consent_id": "c-1", "version": 1, "uscc": enterprise, "status": "active", "previous": None}
        tx.execute(
            text(
                "INSERT INTO consent (id, version, uscc, scope, grantee, classes, products, purposes, not_before, "
                "status, deciding, granted_at, changed_at) VALUES ('c-1', 1, :uscc, 'query', 'platform', '1', "
                "'records', 'pre_loan', :now, 'active', :yes, :now, :now)"
            ).bindparams(bindparam("now", type_=db.Instant)),
            {"uscc": enterprise, "now": clock.now(), "yes": True},
        )
        tx.execute(
            text("INSERT INTO consent_version (consent, version, document) VALUES ('c-1', 1, :document)"),
            {"document": canonical.encode(document)},
        )
        _write_as_the_first_version_did(tx, enterprise)
    database.upgrade(engine, root)
    with db.transaction() as tx:
        assert differences(tx) == []
        keys.use(keys.open_purpose_keys(tx, root))
        signing.open_signers(tx)
    question = factories.question(factories.bank(), enterprise)
    with db.reading() as reading:
        assert consents.require(reading, question).consent.id == "c-1"
        (shown,) = store.listed(reading, clock.now(), uscc=enterprise)
        assert (shown["signature"], shown["max_queries"]) == (None, None)
    counter.change("revoke", "c-1", None)
    with db.reading() as reading:
        assert [bool(version["signature"]) for version in store.history(reading, "c-1")] == [False, True]
        assert counter.verify(reading).ok


def _write_as_the_first_version_did(tx: Connection, enterprise: str) -> None:
    """An entry without what review finds it by; that `verify` is content afterwards shows that it was filled in."""
    said = trail.Entry(type=Event.QUERY_REFUSED, actor="counter", uscc=enterprise, rule="no-consent", classes=(2, 7))
    row = trail.row_of(said, clock.now())
    del row["facet"], row["classes"]
    places = ", ".join(f":{name}" for name in row)
    statement = text(f"INSERT INTO entry ({', '.join(row)}) VALUES ({places})")
    tx.execute(statement.bindparams(bindparam("time", type_=db.Instant)), row)


def _empty(tx: Connection) -> None:
    if tx.dialect.name == "postgresql":
        tx.execute(text("DROP SCHEMA public CASCADE"))
        tx.execute(text("CREATE SCHEMA public"))
        return
    for (name,) in tx.execute(text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).all():
        tx.execute(text(f"DROP TRIGGER {name}"))
    inspected = MetaData()
    inspected.reflect(tx)
    inspected.drop_all(tx)


@pytest.mark.parametrize("open_house", ["postgresql"], indirect=True)
def test_the_vault_is_partitioned_by_enterprise(open_house: House) -> None:
    partitions = (
        "SELECT p.partrelid::regclass::text, pg_get_partkeydef(p.partrelid), count(i.inhrelid) "
        "FROM pg_partitioned_table p JOIN pg_inherits i ON i.inhparent = p.partrelid GROUP BY 1, 2"
    )
    with db.reading() as reading:
        found = {table: (key, number) for table, key, number in reading.execute(text(partitions))}
    assert found.keys() >= {"folio", "data_key"}
    assert all(key == "HASH (uscc)" and number > 1 for key, number in found.values())


def differences(tx: Connection) -> list[Any]:
    """What Alembic would still change, partitions and its own table apart."""

    def is_ours(_object: object, name: str | None, kind: str, _reflected: bool, _other: object) -> bool:
        return not (kind == "table" and PARTITION.search(name or ""))

    options = {"compare_type": True, "include_object": is_ours, "target_metadata": db.metadata}
    found = compare_metadata(MigrationContext.configure(tx, opts=options), db.metadata)
    return [one for difference in found for one in (difference if isinstance(difference, list) else [difference])]


def test_secrets_of_the_first_version_work_after_the_migration(empty_house: House) -> None:
    secret = registered.secret_hash("s" * 43)
    empty_house.home.mkdir(exist_ok=True)
    with database.opened(empty_house.url) as engine:
        with engine.begin() as tx:
            command.upgrade(database.alembic_config(tx), "0001")
            tx.execute(
                text(
                    "INSERT INTO client (id, secret_hash, auth_method, source, scopes, status, created_at) "
                    "VALUES ('c', :secret, 'client_secret_basic', 'S01', 'batch:write', 'active', '2026-01-01')"
                ),
                {"secret": secret},
            )
        database.migrate(engine)
        with engine.begin() as tx:
            found = registered.find(tx, "c")
    assert found is not None
    assert found.secret_hashes == (secret,)
    assert found.check_client_secret("s" * 43)
