# SPDX-License-Identifier: Apache-2.0
"""Cipher suites as others' vectors decide them, and nothing given away before the tag is checked."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap_with_padding, aes_key_wrap_with_padding
from hypothesis import given
from hypothesis import strategies as st

from audit.notes import ED25519, Verifier
from kernel import ciphers, keys
from kernel.ciphers import Sm4Gcm
from kernel.keys import Altered, Key

VECTORS = Path(os.environ.get("BUREAU_TEST_DATA", "absent")) / "vectors" / "wycheproof"
needs_vectors = pytest.mark.skipif(not VECTORS.exists(), reason="BUREAU_TEST_DATA holds no Wycheproof vectors")
SUITES = pytest.mark.parametrize("suite", ciphers.SUITES.values(), ids=lambda suite: suite.name)


def vectors(name: str) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    for group in json.loads((VECTORS / f"{name}_test.json").read_text())["testGroups"]:
        for vector in group["tests"]:
            yield group, vector


@needs_vectors
@pytest.mark.parametrize(("name", "primitive"), [("aes_gcm", AESGCM), ("sm4_gcm", Sm4Gcm)])
def test_wycheproof_decides_both_suites_ciphers_alike(name: str, primitive: Any) -> None:
    decided = {"valid": 0, "invalid": 0}
    for group, vector in vectors(name):
        if group["ivSize"] != 8 * ciphers.NONCE_BYTES:
            continue  # nonces of another size are never made here
        key, nonce, aad, message, ciphertext, tag = (
            bytes.fromhex(vector[part]) for part in ("key", "iv", "aad", "msg", "ct", "tag")
        )
        if vector["result"] == "valid":
            assert primitive(key).decrypt(nonce, ciphertext + tag, aad) == message, vector["tcId"]
            assert primitive(key).encrypt(nonce, message, aad) == ciphertext + tag, vector["tcId"]
        else:
            with pytest.raises(InvalidTag):
                primitive(key).decrypt(nonce, ciphertext + tag, aad)
        decided[vector["result"]] += 1
    assert min(decided.values()) > 15, decided


def test_sm4_gcm_is_that_of_rfc_8998() -> None:
    key = bytes.fromhex("0123456789abcdeffedcba9876543210")
    nonce = bytes.fromhex("00001234567800000000abcd")
    aad = bytes.fromhex("feedfacedeadbeeffeedfacedeadbeefabaddad2")
    plaintext = bytes.fromhex("".join(symbol * 16 for symbol in "abcdefea"))
    written = Sm4Gcm(key).encrypt(nonce, plaintext, aad)
    assert written.hex() == (
        "17f399f08c67d5ee19d0dc9969c4bb7d5fd46fd3756489069157b282bb200735"
        "d82710ca5c22f0ccfa7cbf93d496ac15a56834cbcf98c397b4024a2691233b8d"
        "83de3541e4c2b58177e065a9bf7b62ec"
    )
    assert Sm4Gcm(key).decrypt(nonce, written, aad) == plaintext


@needs_vectors
def test_wycheproof_decides_our_derivation_of_keys() -> None:
    count = 0
    for _, vector in vectors("hkdf_sha256"):
        ikm, salt, info = (bytes.fromhex(vector[part]) for part in ("ikm", "salt", "info"))
        if vector["result"] == "valid":
            assert ciphers.derive(ikm, vector["size"], info, hashes.SHA256(), salt).hex() == vector["okm"]
        else:
            with pytest.raises(ValueError, match="large"):
                ciphers.derive(ikm, vector["size"], info, hashes.SHA256(), salt)
        count += 1
    assert count > 80


@needs_vectors
def test_wycheproof_decides_how_our_library_wraps_keys_with_padding() -> None:
    """RFC 5649: what an HSM's operator wraps keys with to carry them from one token to another."""
    decided = {"valid": 0, "invalid": 0, "acceptable": 0}
    for _, vector in vectors("aes_kwp"):
        key, message, ciphertext = (bytes.fromhex(vector[part]) for part in ("key", "msg", "ct"))
        if vector["result"] == "valid":
            assert aes_key_wrap_with_padding(key, message) == ciphertext
            assert aes_key_unwrap_with_padding(key, ciphertext) == message
        elif vector["result"] == "invalid":
            with pytest.raises(InvalidUnwrap):
                aes_key_unwrap_with_padding(key, ciphertext)
        decided[vector["result"]] += 1
    assert decided["valid"] > 20
    assert decided["invalid"] > 20


@needs_vectors
def test_wycheproof_decides_the_signatures_of_the_log() -> None:
    decided = {"valid": 0, "invalid": 0}
    for group, vector in vectors("ed25519"):
        held = _accepts(bytes.fromhex(group["publicKey"]["pk"]), *(bytes.fromhex(vector[p]) for p in ("msg", "sig")))
        assert held is (vector["result"] == "valid"), vector["tcId"]
        decided[vector["result"]] += 1
    assert min(decided.values()) > 20, decided


@SUITES
@given(st.binary(max_size=200), st.binary(max_size=50), st.integers(0), st.binary(min_size=32, max_size=32))
def test_any_changed_bit_is_found_under_either_suite(
    suite: ciphers.Suite, plaintext: bytes, bound_to: bytes, place: int, secret: bytes
) -> None:
    key = Key(secret, suite=suite)
    written = key.encrypt(plaintext, bound_to)
    assert key.decrypt(written, bound_to) == plaintext
    changed = bytearray(written)
    changed[place // 8 % len(written)] ^= 1 << place % 8
    for given_, bound in ((bytes(changed), bound_to), (written, bound_to + b"."), (written[:-1], bound_to)):
        with pytest.raises(Altered):
            key.decrypt(given_, bound)


def test_the_two_suites_share_no_ciphertext() -> None:
    secret = bytes(32)
    written = Key(secret, suite=ciphers.AES_256_GCM).encrypt(b"facts", b"")
    with pytest.raises(Altered):
        Key(secret, suite=ciphers.SM4_GCM).decrypt(written, b"")


@SUITES
def test_a_root_file_tells_its_suite(tmp_path: Path, suite: ciphers.Suite) -> None:
    keys.create_root(tmp_path / "root.key", suite)
    root = keys.read_root(tmp_path / "root.key")
    assert root.suite is suite
    key = Key(bytes(32), suite=suite)
    assert (
        root.unwrap(root.wrap(key, b"place"), b"place", 3, suite).decrypt(key.encrypt(b"facts", b""), b"") == b"facts"
    )


def _accepts(public: bytes, message: bytes, signature: bytes) -> bool:
    """As the log's verifier says it, where the message is text; else as the primitive under it."""
    try:
        return Verifier("log", ED25519, public).is_over(signature, message.decode())
    except UnicodeDecodeError:
        try:
            Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
        except InvalidSignature:
            return False
        return True
