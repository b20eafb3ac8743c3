# SPDX-License-Identifier: Apache-2.0
"""Cipher suites: authenticated encryption under a 256-bit secret, and what the number of each stands for.

    1  aes-256-gcm  AES-256-GCM (SP 800-38D) under the secret itself
    2  sm4-gcm      SM4-GCM (GB/T 32907, RFC 8998) under 128 bits derived from the secret by HKDF (RFC 5869) with SM3

Numbers are stored beside ciphertexts and never change their meaning. A suite of 国密 algorithms is not by itself a
certified deployment (GB/T 39786): that needs a certified module too.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

NONCE_BYTES = 12
TAG_BYTES = 16


class Aead(Protocol):
    """Authenticated encryption: what `encrypt` gives ends in a tag of 128 bits."""

    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None) -> bytes: ...

    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None) -> bytes:
        """The plaintext; raises InvalidTag, and has given nothing away, where the tag is not the right one."""
        ...


class Suite(NamedTuple):
    number: int
    name: str
    under: Callable[[bytes], Aead]  # a 256-bit secret


class Sm4Gcm:
    """SM4-GCM with the interface of `AESGCM`.

    The primitive hands plaintext out before the tag is checked; here nothing leaves before.
    """

    __slots__ = ("_algorithm",)

    def __init__(self, key: bytes) -> None:
        self._algorithm = algorithms.SM4(key)

    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None) -> bytes:
        encryptor = Cipher(self._algorithm, modes.GCM(nonce)).encryptor()
        encryptor.authenticate_additional_data(associated_data or b"")
        return encryptor.update(data) + encryptor.finalize() + encryptor.tag

    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None) -> bytes:
        if len(data) < TAG_BYTES:
            raise InvalidTag
        decryptor = Cipher(self._algorithm, modes.GCM(nonce)).decryptor()
        decryptor.authenticate_additional_data(associated_data or b"")
        plaintext = decryptor.update(data[:-TAG_BYTES])
        return plaintext + decryptor.finalize_with_tag(data[-TAG_BYTES:])


def derive(secret: bytes, size: int, info: bytes, hashed: hashes.HashAlgorithm, salt: bytes = b"") -> bytes:
    """`size` bytes derived from a secret for one use (HKDF, RFC 5869)."""
    return HKDF(hashed, size, salt, info).derive(secret)


def _sm4_gcm(secret: bytes) -> Aead:
    return Sm4Gcm(derive(secret, 16, b"sm4-gcm", hashes.SM3()))


AES_256_GCM = Suite(1, "aes-256-gcm", AESGCM)
SM4_GCM = Suite(2, "sm4-gcm", _sm4_gcm)
SUITES = {suite.number: suite for suite in (AES_256_GCM, SM4_GCM)}
BY_NAME = {suite.name: suite for suite in SUITES.values()}
