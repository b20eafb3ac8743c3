# SPDX-License-Identifier: Apache-2.0
"""A new root key, while the bureau serves: it wraps the purpose keys anew; these and the data keys stay.

    1. the new key is written beside the old one, as FILE.new; nothing uses it yet
    2. the purpose keys are wrapped under it, read back, and told on the trail, in one transaction
    3. the old file is kept as FILE.old-N (backups of before need it), and the new one takes its place, at once

Kill it anywhere and run it again: it goes on with the same FILE.new. Processes that run hold the purpose keys
opened and notice nothing; one that starts between 2 and 3 is refused, and starts once the command has ended.
"""

import os
from itertools import count
from pathlib import Path

from app import database
from app.config import Settings
from audit import trail
from audit.events import Event
from kernel import db, keys
from kernel.errors import SettingError
from kernel.keys import Key


def replace_root(settings: Settings) -> Path:
    """Put a new root key in the place of the old one. Returns where the old one is kept."""
    current, fresh = settings.root_key, settings.root_key.with_name(settings.root_key.name + ".new")
    old = keys.read_root(current)
    if not fresh.exists():
        keys.create_root(fresh)
    new = keys.read_root(fresh)
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
    kept = next(name for n in count(1) if not (name := current.with_name(f"{current.name}.old-{n}")).exists())
    os.link(current, kept)
    fresh.replace(current)
    return kept


def _opens(root: Key) -> bool:
    """Whether a root key opens what is committed."""
    try:
        with db.reading() as reading:
            keys.open_purpose_keys(reading, root)
    except SettingError:
        return False
    return True
