# SPDX-License-Identifier: Apache-2.0
"""The root key and the handful of purpose keys that it wraps.

The root key (a file of mode 0600, or one that never leaves an HSM: callers see only `wrap` and `unwrap`)
wraps random purpose keys, kept in the database and opened once at start. Purpose keys wrap the data keys of
enterprises and encrypt what belongs to no single enterprise. A key has a suite (`kernel.ciphers`) for life; new
ones get the suite that the process was told. Keys never reach logs, errors or the database in the clear: a `Key`
shows nothing of itself.
"""

import hashlib
import os
import re
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn, Protocol

from cryptography.exceptions import InvalidTag
from sqlalchemy import Connection, func, insert, select, update

from kernel import ciphers, clock
from kernel.ciphers import AES_256_GCM, NONCE_BYTES, Suite
from kernel.errors import BureauError, SettingError
from kernel.models import purpose_key

KEY_BYTES = 32
PURPOSES = ("records", "rejects", "marks", "people", "signing", "screening", "webhooks", "tokens")
_ROOT_HEADERS = {b"bureau-root-key-v1": AES_256_GCM, b"bureau-root-key-sm4-v1": ciphers.SM4_GCM}
_ROOT_FILE = re.compile(rb"(bureau-root-key(?:-sm4)?-v1)\n([0-9a-f]{%d})\s*" % (2 * KEY_BYTES))


class Altered(BureauError):
    """A ciphertext does not open: it, or what it is bound to, is not what was written."""

    slug = "record-altered"


class Key:
    """A 256-bit key of one suite; a random 96-bit nonce stands before each ciphertext, its tag at the end."""

    __slots__ = ("_aead", "_secret", "suite", "version")

    def __init__(self, secret: bytes, version: int = 1, suite: Suite = AES_256_GCM) -> None:
        self._secret = secret
        self._aead = suite.under(secret)
        self.version = version
        self.suite = suite

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

    def unwrap(self, wrapped: bytes, bound_to: bytes, version: int = 1, suite: Suite = AES_256_GCM) -> "Key":
        return Key(self.decrypt(wrapped, bound_to), version, suite)

    def mac64(self, message: bytes) -> int:
        """A keyed 64-bit fingerprint (BLAKE2b): equal for equal messages, telling nothing else."""
        return int.from_bytes(hashlib.blake2b(message, key=self._secret, digest_size=8).digest(), "little")

    def mac256(self, message: bytes) -> int:
        """A keyed 256-bit digest (BLAKE2b), of another family than `mac64`."""
        hashed = hashlib.blake2b(message, key=self._secret, digest_size=32, person=b"records")
        return int.from_bytes(hashed.digest(), "little")


class Root(Protocol):
    """What wraps purpose keys: a `Key` read from a file, or a key inside an HSM."""

    def wrap(self, key: Key, bound_to: bytes) -> bytes: ...

    def unwrap(self, wrapped: bytes, bound_to: bytes, version: int = 1, suite: Suite = AES_256_GCM) -> Key: ...


def new_key(version: int = 1) -> Key:
    """A random key, of the suite that new keys get."""
    return Key(secrets.token_bytes(KEY_BYTES), version, _suite_of_new)


def create_root(path: Path, suite: Suite = AES_256_GCM) -> None:
    """Write a new root key file, mode 0600; refuses to overwrite one."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise SettingError(f"{path} exists; a root key is never overwritten: move it away first") from error
    with os.fdopen(descriptor, "wb") as file:
        header = next(header for header, of in _ROOT_HEADERS.items() if of is suite)
        file.write(header + b"\n" + secrets.token_bytes(KEY_BYTES).hex().encode() + b"\n")
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
    if not (told := _ROOT_FILE.fullmatch(content)):
        raise SettingError(f"{path} is not a root key file of this bureau")
    return Key(bytes.fromhex(told[2].decode()), suite=_ROOT_HEADERS[told[1]])


def create_purpose_keys(tx: Connection, root: Root) -> None:
    """Make and store the purpose keys that are not there yet."""
    held = set(tx.scalars(select(purpose_key.c.purpose)))
    for purpose in PURPOSES:
        if purpose not in held:
            _store(tx, root, purpose, new_key())


def renew_purpose_key(tx: Connection, root: Root, purpose: str) -> int:
    """Make a new version of a purpose key, for all that is encrypted from now on. Returns it. The caller commits."""
    newest = tx.scalar(select(func.max(purpose_key.c.version)).where(purpose_key.c.purpose == purpose))
    key = new_key((newest or 0) + 1)
    _store(tx, root, purpose, key)
    return key.version


def open_purpose_keys(tx: Connection, root: Root) -> dict[str, dict[int, Key]]:
    """The keys of each purpose by version; raises SettingError where the root key is not the one that wrapped them."""
    opened: dict[str, dict[int, Key]] = {}
    for row in tx.execute(select(purpose_key).order_by(purpose_key.c.version)).all():
        opened.setdefault(row.purpose, {})[row.version] = _unwrapped(root, row)
    if missing := set(PURPOSES) - set(opened):
        raise SettingError(f"the database has no key for {', '.join(sorted(missing))}: run `bureau upgrade`")
    return opened


def rewrap_purpose_keys(tx: Connection, old: Root, new: Root) -> int:
    """Wrap every purpose key under another root. Returns how many. The caller commits.

    Raises SettingError, and changes nothing, where the old root does not open one of them.
    """
    rows = tx.execute(select(purpose_key)).all()
    for row in rows:
        wrapped = new.wrap(_unwrapped(old, row), _bound_to(row.purpose, row.version, row.suite))
        of = (purpose_key.c.purpose == row.purpose) & (purpose_key.c.version == row.version)
        tx.execute(update(purpose_key).where(of).values(wrapped=wrapped))
    return len(rows)


def use(
    purpose_keys: Mapping[str, Mapping[int, Key]],
    suite: Suite = AES_256_GCM,
    reopen: Callable[[], Mapping[str, Mapping[int, Key]]] | None = None,
) -> None:
    """Make these the process's purpose keys, and `suite` that of new keys.

    `reopen` gives the purpose keys anew, for a version that was made after the process had started.
    """
    global _suite_of_new, _reopen
    _opened.clear()
    _opened.update(purpose_keys)
    _suite_of_new, _reopen = suite, reopen


def purpose(name: str, version: int | None = None) -> Key:
    """The process's key for a purpose, the newest unless a version is named; raises SettingError before `use`."""
    held = _opened.get(name)
    if held and version is not None and version not in held and _reopen is not None:
        _opened.update(_reopen())
        held = _opened[name]
    if not held or (version is not None and version not in held):
        raise SettingError(f"the {name} key is not open: the process must call kernel.keys.use at start")
    return held[max(held) if version is None else version]


_opened: dict[str, Mapping[int, Key]] = {}
_suite_of_new = AES_256_GCM
_reopen: Callable[[], Mapping[str, Mapping[int, Key]]] | None = None


def _store(tx: Connection, root: Root, purpose: str, key: Key) -> None:
    wrapped = root.wrap(key, _bound_to(purpose, key.version, key.suite.number))
    values = {"purpose": purpose, "version": key.version, "suite": key.suite.number, "wrapped": wrapped}
    tx.execute(insert(purpose_key).values(**values, created_at=clock.now()))


def _unwrapped(root: Root, row: Any) -> Key:
    bound_to = _bound_to(row.purpose, row.version, row.suite)
    try:
        return root.unwrap(row.wrapped, bound_to, row.version, ciphers.SUITES[row.suite])
    except (Altered, KeyError) as error:
        raise SettingError("the root key does not open this database's keys: restore the key made with it") from error


def _bound_to(purpose: str, version: int, suite: int) -> bytes:
    told = f"purpose-key\0{purpose}\0{version}"
    return (told if suite == AES_256_GCM.number else f"{told}\0{suite}").encode()
