# SPDX-License-Identifier: Apache-2.0
"""Merkle tree hashing (RFC 9162 §2.1)."""

import hashlib


def leaf_hash(leaf: bytes) -> bytes:
    """SHA-256 of a leaf under the prefix 0x00, which no inner node has."""
    return hashlib.sha256(b"\x00" + leaf).digest()
