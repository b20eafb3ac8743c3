# SPDX-License-Identifier: Apache-2.0
"""Where the root key is: in a file of mode 0600, or in an HSM named by a `pkcs11:` URI (RFC 7512)."""

from collections.abc import Mapping
from pathlib import Path

from app.config import Settings
from kernel import ciphers, db, hsm, keys
from kernel.hsm import HsmRoot
from kernel.keys import Key, Root


def read(address: str | Path) -> Root:
    """The root key at an address; raises SettingError naming what is wrong with it. One in an HSM is not tried yet."""
    held = _hsm(address)
    return held or keys.read_root(Path(address))


def create(address: str | Path, suite: str) -> None:
    """Make a new root key there; raises SettingError where there is one. In an HSM it is AES, whatever the suite."""
    held = _hsm(address)
    held.create() if held else keys.create_root(Path(address), ciphers.BY_NAME[suite])


def exists(address: str | Path) -> bool:
    held = _hsm(address)
    return held.exists() if held else Path(address).exists()


def open_keys(settings: Settings) -> None:
    """Open this process's purpose keys; a version that is made while it runs is opened when it is first met."""

    def opened() -> Mapping[str, Mapping[int, Key]]:
        with db.reading() as reading:
            return keys.open_purpose_keys(reading, read(settings.root_key))

    keys.use(opened(), ciphers.BY_NAME[settings.cipher_suite], opened)


def _hsm(address: str | Path) -> HsmRoot | None:
    return hsm.parse(address) if isinstance(address, str) and address.startswith(hsm.SCHEME) else None
