# SPDX-License-Identifier: Apache-2.0
"""A root key inside a hardware security module, spoken to by PKCS#11: it wraps and unwraps, and never comes out.

It is named by a URI of RFC 7512:

    pkcs11:token=bureau;object=root?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=/run/keys/pin

`token` and `object` are labels, `module-path` the vendor's library, `pin-source` a file of mode 0600 with the user
PIN. The key is AES-256, the mechanism CKM_AES_GCM with a nonce of ours. `python-pkcs11` is needed only here.
"""

import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

from kernel.ciphers import AES_256_GCM, NONCE_BYTES, Suite
from kernel.errors import SettingError
from kernel.keys import KEY_BYTES, Altered, Key

SCHEME = "pkcs11:"
_NEEDED = {"token", "object", "module-path", "pin-source"}


def _package() -> Any:
    """An extra: a bureau with its root key in a file does without."""
    try:
        return importlib.import_module("pkcs11")
    except ImportError:
        return None


pkcs11 = _package()


@dataclass(frozen=True, slots=True)
class HsmRoot:
    """The root key that a PKCS#11 URI names. Each use opens a session of its own: there are a handful at start."""

    token: str
    object: str
    module: str
    pin_file: Path

    def wrap(self, key: Key, bound_to: bytes) -> bytes:
        nonce = os.urandom(NONCE_BYTES)
        with self._session() as session:
            held = self._key(session)
            return nonce + bytes(
                held.encrypt(key._secret, mechanism=pkcs11.Mechanism.AES_GCM, mechanism_param=_gcm(nonce, bound_to))
            )

    def unwrap(self, wrapped: bytes, bound_to: bytes, version: int = 1, suite: Suite = AES_256_GCM) -> Key:
        nonce, ciphertext = wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:]
        with self._session() as session:
            held = self._key(session)
            try:
                secret = held.decrypt(
                    ciphertext, mechanism=pkcs11.Mechanism.AES_GCM, mechanism_param=_gcm(nonce, bound_to)
                )
            except pkcs11.PKCS11Error as error:
                raise Altered("the key in the HSM does not open this") from error
        if len(secret) != KEY_BYTES:
            raise Altered("the key in the HSM does not open this")
        return Key(bytes(secret), version, suite)

    def create(self) -> None:
        """Make the key inside the token, never to be taken out of it; refuses where one has its label."""
        with self._session(rw=True) as session:
            if self._held(session):
                raise SettingError(f"the token {self.token} has a key {self.object} already: name another")
            kinds = pkcs11.Attribute
            never_out = {kinds.SENSITIVE: True, kinds.EXTRACTABLE: False, kinds.PRIVATE: True}
            session.generate_key(
                pkcs11.KeyType.AES, 8 * KEY_BYTES, label=self.object, store=True, template=never_out,
                capabilities=pkcs11.MechanismFlag.ENCRYPT | pkcs11.MechanismFlag.DECRYPT,
            )  # fmt: skip

    def exists(self) -> bool:
        with self._session() as session:
            return bool(self._held(session))

    @contextmanager
    def _session(self, *, rw: bool = False) -> Iterator[Any]:
        if pkcs11 is None:
            raise SettingError("a root key in an HSM needs the extra `hsm`: install python-pkcs11")
        try:
            token = pkcs11.lib(self.module).get_token(token_label=self.token)
            with token.open(user_pin=_pin(self.pin_file), rw=rw) as session:
                yield session
        except (pkcs11.PKCS11Error, RuntimeError) as error:
            # The library's errors carry no PIN; their names say what the matter is (PinIncorrect, NoSuchToken).
            raise SettingError(f"the HSM (token {self.token}) failed: {type(error).__name__}") from error

    def _held(self, session: Any) -> list[Any]:
        sought = {pkcs11.Attribute.CLASS: pkcs11.ObjectClass.SECRET_KEY, pkcs11.Attribute.LABEL: self.object}
        return list(session.get_objects(sought))

    def _key(self, session: Any) -> Any:
        held = self._held(session)
        if len(held) != 1:
            raise SettingError(f"the token {self.token} has {len(held)} keys {self.object}, not one")
        return held[0]


def parse(uri: str) -> HsmRoot:
    """The root key that a URI names; raises SettingError where it does not say all that is needed, or says the PIN."""
    path, _, query = uri.removeprefix(SCHEME).partition("?")
    told = dict(parse_qsl(query, keep_blank_values=True))
    told |= {name: unquote(value) for name, _, value in (part.partition("=") for part in path.split(";"))}
    if "pin-value" in told:
        raise SettingError("BUREAU_ROOT_KEY: a PIN stands in a file (pin-source), not in the URI")
    if set(told) != _NEEDED or not all(told.values()):
        raise SettingError(f"BUREAU_ROOT_KEY: a pkcs11: URI names {', '.join(sorted(_NEEDED))}, and nothing else")
    return HsmRoot(told["token"], told["object"], told["module-path"], Path(told["pin-source"].removeprefix("file:")))


def _gcm(nonce: bytes, bound_to: bytes) -> Any:
    return pkcs11.GCMParams(nonce, bound_to, 128)


def _pin(file: Path) -> str:
    try:
        mode, content = file.stat().st_mode, file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError(f"the HSM's PIN cannot be read from {file}") from error
    if mode & 0o077:
        raise SettingError(f"{file} can be read by others: run chmod 600 on it")
    return content.rstrip("\r\n")
