# SPDX-License-Identifier: Apache-2.0
"""The root key and the handful of purpose keys that it wraps.

The root key (a file of mode 0600 today; the callers see only `wrap` and `unwrap`, so it may live in an HSM)
wraps random purpose keys, kept in the database and opened once at start. Purpose keys wrap the data keys of
enterprises and encrypt what belongs to no single enterprise. Keys never reach logs, errors or the database in
the clear: a `Key` shows nothing of itself.
"""

import hashlib
import os
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import Connection, insert, select, update

from kernel import clock
from kernel.errors import BureauError, SettingError
from kernel.models import purpose_key

KEY_BYTES = 32
NONCE_BYTES = 12
PURPOSES = ("records", "rejects", "marks", "people", "signing", "screening", "webhooks")
_ROOT_HEADER = b"bureau-root-key-v1\n"
_ROOT_FILE = re.compile(_ROOT_HEADER + rb"[0-9a-f]{%d}\s*" % (2 * KEY_BYTES))


class Altered(BureauError):
    """A ciphertext does not open: it, or what it is bound to, is not what was written."""

    slug = "record-altered"


class Key:
    """A 256-bit AES-GCM key (SP 800-38D; a random 96-bit nonce stands before each ciphertext)."""

    __slots__ = ("_aead", "_secret", "version")

    def __init__(self, secret: bytes, version: int = 1) -> None:
        self._secret = secret
        self._aead = AESGCM(secret)
        self.version = version

    def __repr__(self) -> str:
        return f"<Key version {self.version}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key is neither pickled nor copied")

    def encrypt(self, plaintext: bytes, bound_to: bytes) -> bytes:
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._aead.encrypt(nonce, plaintext, bound_to)

    def decrypt(self, ciphertext: bytes, bound_to: bytes) -> bytes:
        """The plaintext; raises Altered if the bytes or what they are bound to differ from what was written."""
        try:
            return self._aead.decrypt(ciphertext[:NONCE_BYTES], ciphertext[NONCE_BYTES:], bound_to)
        except (InvalidTag, ValueError) as error:
            raise Altered(
                "what is stored does not open: it was altered or moved; tell the bureau, quoting the request id"
            ) from error

    def wrap(self, key: "Key", bound_to: bytes) -> bytes:
        return self.encrypt(key._secret, bound_to)

    def unwrap(self, wrapped: bytes, bound_to: bytes, version: int = 1) -> "Key":
        return Key(self.decrypt(wrapped, bound_to), version)

    def mac64(self, message: bytes) -> int:
        """A keyed 64-bit fingerprint (BLAKE2b): equal for equal messages, telling nothing else."""
        return int.from_bytes(hashlib.blake2b(message, key=self._secret, digest_size=8).digest(), "little")

    def mac256(self, message: bytes) -> int:
        """A keyed 256-bit digest (BLAKE2b), of another family than `mac64`."""
        hashed = hashlib.blake2b(message, key=self._secret, digest_size=32, person=b"records")
        return int.from_bytes(hashed.digest(), "little")


def new_key(version: int = 1) -> Key:
    return Key(secrets.token_bytes(KEY_BYTES), version)


def create_root(path: Path) -> None:
    """Write a new root key file, mode 0600; refuses to overwrite one."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise SettingError(f"{path} exists; a root key is never overwritten: move it away first") from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(_ROOT_HEADER + secrets.token_bytes(KEY_BYTES).hex().encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def read_root(path: Path) -> Key:
    """The root key of a file; raises SettingError if it is missing, readable by others or not a key."""
    try:
        mode, content = path.stat().st_mode, path.read_bytes()
    except OSError as error:
        raise SettingError(
            f"no root key at {path} (BUREAU_ROOT_KEY): run `bureau init`, or restore the key of this bureau"
        ) from error
    if mode & 0o077:
        raise SettingError(f"{path} can be read by others: run chmod 600 on it")
    if not _ROOT_FILE.fullmatch(content):
        raise SettingError(f"{path} is not a root key file of this bureau")
    return Key(bytes.fromhex(content.removeprefix(_ROOT_HEADER).decode()))


def create_purpose_keys(tx: Connection, root: Key) -> None:
    """Make and store the purpose keys that are not there yet."""
    held = set(tx.scalars(select(purpose_key.c.purpose)))
    for purpose in PURPOSES:
        if purpose not in held:
            wrapped = root.wrap(new_key(), _bound_to(purpose, 1))
            tx.execute(insert(purpose_key).values(purpose=purpose, version=1, wrapped=wrapped, created_at=clock.now()))


def open_purpose_keys(tx: Connection, root: Key) -> dict[str, Key]:
    """The newest key of each purpose; raises SettingError where the root key is not the one that wrapped them."""
    rows = tx.execute(select(purpose_key).order_by(purpose_key.c.version)).all()
    try:
        opened = {
            row.purpose: root.unwrap(row.wrapped, _bound_to(row.purpose, row.version), row.version) for row in rows
        }
    except Altered as error:
        raise SettingError("the root key does not open this database's keys: restore the key made with it") from error
    if missing := set(PURPOSES) - set(opened):
        raise SettingError(f"the database has no key for {', '.join(sorted(missing))}: run `bureau init`")
    return opened


def rewrap_purpose_keys(tx: Connection, old: Key, new: Key) -> int:
    """Wrap every purpose key under another root. Returns how many. The caller commits.

    Raises SettingError, and changes nothing, where the old root does not open one of them.
    """
    rows = tx.execute(select(purpose_key)).all()
    for row in rows:
        place = _bound_to(row.purpose, row.version)
        try:
            wrapped = new.wrap(old.unwrap(row.wrapped, place), place)
        except Altered as error:
            raise SettingError("the root key does not open this database's keys: restore its own first") from error
        of = (purpose_key.c.purpose == row.purpose) & (purpose_key.c.version == row.version)
        tx.execute(update(purpose_key).where(of).values(wrapped=wrapped))
    return len(rows)


def use(purpose_keys: Mapping[str, Key]) -> None:
    """Make these the process's purpose keys."""
    _opened.clear()
    _opened.update(purpose_keys)


def purpose(name: str) -> Key:
    """The process's key for a purpose; raises SettingError before `use`."""
    try:
        return _opened[name]
    except KeyError as error:
        raise SettingError(f"the {name} key is not open: the process must call kernel.keys.use at start") from error


_opened: dict[str, Key] = {}


def _bound_to(purpose: str, version: int) -> bytes:
    return f"purpose-key\0{purpose}\0{version}".encode()
