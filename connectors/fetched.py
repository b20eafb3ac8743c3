# SPDX-License-Identifier: Apache-2.0
"""A delivery that a transport has fetched, on its way to be received as any file is."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection

# Name of a secret as a feed gives it (`env:NAME`, `file:/path`) → the secret. Raises SettingError.
Reveal = Callable[[str], str]
# Called while something is fetched, to say that it still is.
Beat = Callable[[], None]


@dataclass(slots=True)
class Fetched:
    """A spooled file. `remember` is called in a transaction with its batch, or None and the problem it was refused for.

    `taken` becomes true once that is committed; only then may a transport remove what it fetched it from.
    """

    path: Path
    remember: Callable[[Connection, str | None, str | None], None]
    taken: bool = False
