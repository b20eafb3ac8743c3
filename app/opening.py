# SPDX-License-Identifier: Apache-2.0
"""Opening a bureau in this process: what every command, worker and child needs before anything else."""

from sqlalchemy import inspect

from access import limits
from app import roots
from app.config import Settings
from audit import trust
from bureau import catalogue, discrepancies, retention, rules
from connectors import feeds, spool
from consent import policy
from kernel import db, signing
from kernel.errors import SettingError
from kernel.models import purpose_key, signing_key


def open_bureau(settings: Settings) -> None:
    """Open this process's catalogue, database and keys; raises SettingError naming what is wrong."""
    catalogue.current()
    rules.current()
    discrepancies.current()
    if settings.policy is not None:
        policy.use(settings.policy)
    policy.current()
    trust.use(trust.read(settings.witness_policy) if settings.witness_policy else trust.NO_QUORUM)
    if settings.retention is not None:
        retention.use(settings.retention)
    retention.current()
    limits.use_screenings(settings.screenings_per_day)
    spool.use(settings.spool_folder)
    feeds.use(settings.feeds_folder)
    roots.read(settings.root_key)
    db.use(db.open_engine(settings.database_url))
    with db.reading() as reading:
        if not inspect(reading).has_table(purpose_key.name):
            raise SettingError("BUREAU_DATABASE_URL names a database without a bureau: run `bureau init`")
        if not inspect(reading).has_table(signing_key.name):
            raise SettingError("this database was made by an earlier version: run `bureau upgrade`")
        roots.open_keys(settings)
        signing.open_signers(reading)
