# SPDX-License-Identifier: Apache-2.0
"""The Merkle tree of RFC 9162 §2.1, over whatever gives the hashes of its complete subtrees. Pure.

`Node(height, index)` is the hash over leaves [index·2^height, (index+1)·2^height), all of them there. Roots and
proofs of any size follow from such nodes; `audit.tiles` gives them from tiles, tests from a list of leaves.

A consistency proof from size 0 is refused, as in transparency-dev/merkle: nothing can be inconsistent with an
empty tree, so there is nothing to prove. The witness protocol's old size 0 is decided where it is spoken.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence

HASH_BYTES = 32
MAX_PROOF_HASHES = 63
EMPTY_ROOT = hashlib.sha256(b"").digest()
Node = Callable[[int, int], bytes]


def leaf_hash(leaf: bytes) -> bytes:
    """SHA-256 of a leaf under the prefix 0x00, which no inner node has."""
    return hashlib.sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256 of two hashes under the prefix 0x01."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def root(size: int, node: Node) -> bytes:
    """The root of the first `size` leaves (§2.1.1)."""
    return _range(0, size, node) if size else EMPTY_ROOT


def inclusion_proof(index: int, size: int, node: Node) -> list[bytes]:
    """The audit path of a leaf, its sibling first (§2.1.3.1); raises ValueError outside of the tree."""
    if not 0 <= index < size:
        raise ValueError(f"no leaf {index} in a tree of size {size}")
    proof, start, width = [], 0, size
    while width > 1:
        half = _largest_power_below(width)
        if index - start < half:
            proof.append(_range(start + half, width - half, node))
            width = half
        else:
            proof.append(_range(start, half, node))
            start, width = start + half, width - half
    return proof[::-1]


def consistency_proof(first: int, second: int, node: Node) -> list[bytes]:
    """What shows that the tree of size `first` is a prefix of that of size `second` (§2.1.4.1)."""
    if not 0 < first <= second:
        raise ValueError(f"no consistency from size {first} to {second}")
    proof, start, width, old, whole = [], 0, second, first, True
    while old != width:
        half = _largest_power_below(width)
        if old <= half:
            proof.append(_range(start + half, width - half, node))
            width = half
        else:
            proof.append(_range(start, half, node))
            start, width, old, whole = start + half, width - half, old - half, False
    if not whole:
        proof.append(_range(start, width, node))
    return proof[::-1]


def is_included(leaf: bytes, index: int, size: int, proof: Sequence[bytes], tree_root: bytes) -> bool:
    """Whether a leaf's hash lies at `index` of the tree with this root (§2.1.3.2)."""
    if not 0 <= index < size:
        return False
    here, last, found = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if here & 1 or here == last:
            found = node_hash(sibling, found)
            while here and not here & 1:
                here, last = here >> 1, last >> 1
        else:
            found = node_hash(found, sibling)
        here, last = here >> 1, last >> 1
    return last == 0 and found == tree_root


def is_consistent(first: int, second: int, proof: Sequence[bytes], first_root: bytes, second_root: bytes) -> bool:
    """Whether the first tree is a prefix of the second (§2.1.4.2)."""
    if not 0 < first <= second:
        return False
    if first == second:
        return not proof and first_root == second_root
    path = list(proof)
    if first & (first - 1) == 0:  # the whole first tree is a node of the second
        path.insert(0, first_root)
    if not path:
        return False
    here, last = first - 1, second - 1
    while here & 1:
        here, last = here >> 1, last >> 1
    old = new = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if here & 1 or here == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while here and not here & 1:
                here, last = here >> 1, last >> 1
        else:
            new = node_hash(new, sibling)
        here, last = here >> 1, last >> 1
    return last == 0 and old == first_root and new == second_root


def cover(size: int, node: Node) -> list[bytes]:
    """The complete subtrees that cover the first `size` leaves, largest first: one for each bit of `size`."""
    found, start = [], 0
    for height in reversed(range(size.bit_length())):
        if size >> height & 1:
            found.append(node(height, start >> height))
            start += 1 << height
    return found


def spans(first: int, last: int) -> Iterator[tuple[int, int]]:
    """The complete subtrees, as height and index, that cover leaves first … last - 1: the fewest, in their order."""
    while first < last:
        widest = (last - first).bit_length() - 1
        height = min(widest, (first & -first).bit_length() - 1) if first else widest
        yield height, first >> height
        first += 1 << height


class Frontier:
    """The hashes from which the root of all leaves so far follows: what `cover` gives, grown leaf by leaf."""

    def __init__(self, size: int = 0, covering: Iterable[bytes] = ()) -> None:
        self.size = size
        self._hashes = list(covering)

    def add(self, leaf: bytes, height: int = 0) -> None:
        """Add a leaf's hash, or that of a complete subtree of a height, whose place must be the next there is."""
        found, bits = leaf, self.size >> height
        while bits & 1:
            found, bits = node_hash(self._hashes.pop(), found), bits >> 1
        self._hashes.append(found)
        self.size += 1 << height

    @property
    def root(self) -> bytes:
        return self.root_with(())

    def root_with(self, covering: Iterable[bytes]) -> bytes:
        """The root of these leaves and those that `covering` covers, which come after them."""
        hashes = [*self._hashes, *covering]
        if not hashes:
            return EMPTY_ROOT
        found = hashes.pop()
        for left in reversed(hashes):
            found = node_hash(left, found)
        return found


def _range(start: int, width: int, node: Node) -> bytes:
    """The hash over `width` leaves from `start`, which is a multiple of the least power of two ≥ `width`."""
    if width & (width - 1) == 0:
        height = width.bit_length() - 1
        return node(height, start >> height)
    half = _largest_power_below(width)
    return node_hash(_range(start, half, node), _range(start + half, width - half, node))


def _largest_power_below(width: int) -> int:
    return 1 << (width - 1).bit_length() - 1
