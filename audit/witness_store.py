# SPDX-License-Identifier: Apache-2.0
"""A witness's memory: one SQLite file with its key, and of each log the latest checkpoint that it cosigned.

Key and memory lie in one file, so that neither is ever there without the other: a witness that forgot would cosign
anything. For the same reason it must never be restored from a copy; a new one is made instead, with a new key.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit import notes, witness
from audit.notes import COSIGNATURE, BadNote, Signature, Verifier
from audit.witness import Seen, Submission
from kernel.errors import SettingError, Unavailable

BUSY_WAIT_S = 10
_TABLES = """
CREATE TABLE witness (id INTEGER PRIMARY KEY CHECK (id = 1), name TEXT NOT NULL, secret BLOB NOT NULL);
CREATE TABLE log (origin TEXT PRIMARY KEY, size INTEGER NOT NULL, root BLOB NOT NULL, note TEXT NOT NULL);
"""


def create(file: Path, name: str) -> None:
    """Make a witness of this name, with a new key, in a file of its own (mode 0600).

    Raises SettingError for what is no name, FileExistsError where the file is there already.
    """
    try:
        notes.require_name(name)
    except BadNote as error:
        raise SettingError(f"{name!r}: {error.detail}") from error
    secret = Ed25519PrivateKey.generate()
    fresh = file.with_name(f".{file.name}.new")
    fresh.unlink(missing_ok=True)
    os.close(os.open(fresh, os.O_CREAT | os.O_EXCL, 0o600))
    with closing(_connect(fresh)) as database:
        database.executescript(_TABLES)
        database.execute("INSERT INTO witness VALUES (1, ?, ?)", (name, secret.private_bytes_raw()))
    try:
        os.link(fresh, file)  # whole or not at all, and never over another one
    finally:
        fresh.unlink()
    _flush(file.parent)


class Store:
    """An open witness: its key, what it has seen, and the one way to have it cosign."""

    def __init__(self, file: Path) -> None:
        """Open the witness in a file; raises SettingError where there is none."""
        self._file = file
        try:
            with closing(_connect(file)) as database:
                name, secret = database.execute("SELECT name, secret FROM witness").fetchone()
        except (sqlite3.Error, TypeError) as error:
            raise SettingError(f"{file} holds no witness: name a file that `bureau witness` made") from error
        self._secret = Ed25519PrivateKey.from_private_bytes(secret)
        self.key = Verifier(name, COSIGNATURE, self._secret.public_key().public_bytes_raw())

    def cosign(self, submission: Submission, signed: tuple[Signature, ...], time: int) -> Signature:
        """Cosign a checkpoint that follows the one seen last, at `time` (seconds since 1970).

        In one transaction: what was seen is read, the checkpoint must follow it, and it is on the disk with its
        cosignature before that is returned. Raises as `witness.require_grown` does, and Unavailable where it cannot
        be written.
        """
        checkpoint = submission.checkpoint
        with self._turn() as database:
            witness.require_grown(submission, _seen(database, checkpoint.origin))
            made = notes.cosign(submission.text, self.key, self._secret.sign, time)
            note = notes.assemble(submission.text, (*signed, made))
            database.execute(
                "INSERT INTO log VALUES (?, ?, ?, ?) ON CONFLICT (origin) "
                "DO UPDATE SET size = excluded.size, root = excluded.root, note = excluded.note",
                (checkpoint.origin, checkpoint.size, checkpoint.root, note),
            )
        return made

    def latest(self) -> Iterator[tuple[str, str]]:
        """The latest checkpoint of each log, cosigned: origin and note."""
        with closing(_connect(self._file)) as database:
            yield from database.execute("SELECT origin, note FROM log")

    @contextmanager
    def _turn(self) -> Iterator[sqlite3.Connection]:
        """A connection that no one else writes beside, in a transaction that is on the disk when the block ends."""
        try:
            with closing(_connect(self._file)) as database:
                database.execute("BEGIN IMMEDIATE")
                yield database
                database.execute("COMMIT")
        except sqlite3.OperationalError as error:
            raise Unavailable(f"the witness cannot write down what it sees, so it cosigns nothing: {error}") from error


def _seen(database: sqlite3.Connection, origin: str) -> Seen:
    row = database.execute("SELECT size, root FROM log WHERE origin = ?", (origin,)).fetchone()
    return Seen(*row) if row else Seen()


def _connect(file: Path) -> sqlite3.Connection:
    """A connection that begins no transactions by itself; EXTRA flushes the folder too, before a commit returns."""
    database = sqlite3.connect(f"file:{file}?mode=rw", uri=True, timeout=BUSY_WAIT_S, isolation_level=None)
    database.execute("PRAGMA synchronous=EXTRA")
    return database


def _flush(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
