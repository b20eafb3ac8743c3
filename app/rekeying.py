# SPDX-License-Identifier: Apache-2.0
"""Keys replaced while the bureau serves, from the top: the root key, then the purpose key that wraps data keys.

A new root key:

    1. the new key is made, in a file beside the old one (FILE.new) or where `to` says; nothing uses it yet
    2. the purpose keys are wrapped under it, read back, and told on the trail, in one transaction
    3. the old file is kept as FILE.old-N (backups of before need it), and the new one takes its place, at once;
       a key that was made elsewhere is the operator's to name in BUREAU_ROOT_KEY

Kill it anywhere and run it again: it goes on with the same new key. Processes that run hold the purpose keys
opened and notice nothing; one that starts between 2 and 3 is refused, and starts once the command has ended.
"""

import os
from collections.abc import Callable
from itertools import count
from pathlib import Path

from app import database, roots
from app.config import Settings
from audit import trail
from audit.events import Event
from bureau import reencryption
from kernel import db, keys
from kernel.errors import SettingError
from kernel.keys import Root


def replace_root(settings: Settings, to: str | None = None) -> Path | str:
    """Put a new root key in the place of the old one, or make it at `to`. Returns where the old one is kept."""
    current = settings.root_key
    if to is None and isinstance(current, str):
        raise SettingError("the root key is in an HSM: say with --to where the new one is to be")
    fresh = to if to is not None else f"{current}.new"
    old = roots.read(current)
    if not roots.exists(fresh):
        roots.create(fresh, settings.cipher_suite)
    new = roots.read(fresh)
    with database.opened(settings.database_url) as engine:
        db.use(engine)
        with trail.recording() as tx:
            if not _opens(new):
                rewrapped = keys.rewrap_purpose_keys(tx, old, new)
                detail = {"purpose_keys": rewrapped}
                said = trail.Entry(type=Event.ROOT_REPLACED, actor="counter", channel="counter", detail=detail)
                trail.append(tx, said)
        if not _opens(new):
            raise SettingError("the new root key does not open this database's keys: nothing was replaced")
    if to is not None:
        return current
    file = Path(current)
    kept = next(name for n in count(1) if not (name := file.with_name(f"{file.name}.old-{n}")).exists())
    os.link(file, kept)
    Path(fresh).replace(file)
    return kept


def rewrap_data_keys(settings: Settings, tell: Callable[[int], None] = lambda done: None) -> int:
    """Make a new purpose key for data keys, and wrap all of them under it. Returns how many enterprises were done.

    Cut off, the next call goes on. The old purpose key stays, for a process that has not met the new one yet.
    """
    root = roots.read(settings.root_key)
    with trail.recording() as tx:
        if not reencryption.is_walking(tx, reencryption.DATA_KEYS):
            version = keys.renew_purpose_key(tx, root, "records")
            reencryption.begin(tx, reencryption.DATA_KEYS)
            detail = {"purpose": "records", "version": version}
            said = trail.Entry(type=Event.PURPOSE_KEY_RENEWED, actor="counter", channel="counter", detail=detail)
            trail.append(tx, said)
    roots.open_keys(settings)
    return reencryption.rewrap(tell)


def _opens(root: Root) -> bool:
    """Whether a root key opens what is committed."""
    try:
        with db.reading() as reading:
            keys.open_purpose_keys(reading, root)
    except SettingError:
        return False
    return True
