# SPDX-License-Identifier: Apache-2.0
"""The tree against other people's vectors, against a naive tree, and through tiles."""

import base64
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit import merkle, tiles
from audit.merkle import node_hash

DATA = os.environ.get("BUREAU_TEST_DATA")
needs_vectors = pytest.mark.skipif(not DATA, reason="BUREAU_TEST_DATA names no folder with vectors")


def vectors(name: str) -> list[dict[str, Any]]:
    return json.loads((Path(DATA or "") / "vectors" / f"merkle-{name}.json").read_text())  # type: ignore[no-any-return]


def raw(encoded: str | None) -> bytes:
    return base64.b64decode(encoded or "")


@needs_vectors
def test_inclusion_proofs_are_decided_as_the_vectors_mark_them() -> None:
    for case in vectors("inclusion"):
        proof = [raw(one) for one in case["proof"] or ()]
        decided = merkle.is_included(raw(case["leafHash"]), case["leafIdx"], case["treeSize"], proof, raw(case["root"]))
        assert decided is not case["wantErr"], case["case"]


@needs_vectors
def test_consistency_proofs_are_decided_as_the_vectors_mark_them() -> None:
    for case in vectors("consistency"):
        proof = [raw(one) for one in case["proof"] or ()]
        decided = merkle.is_consistent(case["size1"], case["size2"], proof, raw(case["root1"]), raw(case["root2"]))
        assert decided is not case["wantErr"], case["case"]


def naive(leaves: list[bytes]) -> bytes:
    """The definition of RFC 9162 §2.1.1, word for word."""
    if len(leaves) == 1:
        return leaves[0]
    half = 1
    while half * 2 < len(leaves):
        half *= 2
    return node_hash(naive(leaves[:half]), naive(leaves[half:]))


def hashes(count: int) -> list[bytes]:
    return [merkle.leaf_hash(str(number).encode()) for number in range(count)]


LEAVES = hashes(1_500)


def node(height: int, index: int) -> bytes:
    return naive(LEAVES[index << height : (index + 1) << height])


def test_an_empty_tree_has_the_hash_of_nothing() -> None:
    assert merkle.root(0, node).hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@settings(max_examples=150)
@given(st.integers(1, 1_500), st.data())
def test_roots_and_proofs_of_any_size(size: int, data: st.DataObject) -> None:
    root = merkle.root(size, node)
    assert root == naive(LEAVES[:size])
    index = data.draw(st.integers(0, size - 1))
    proof = merkle.inclusion_proof(index, size, node)
    assert len(proof) <= size.bit_length()
    assert merkle.is_included(LEAVES[index], index, size, proof, root)
    assert not merkle.is_included(LEAVES[index - 1] if size > 1 else b"x" * 32, index, size, proof, root)
    assert not merkle.is_included(LEAVES[index], index, size, [*proof, b"x" * 32], root)
    assert not merkle.is_included(LEAVES[index], index, size, proof, b"x" * 32)
    first = data.draw(st.integers(1, size))
    consistent = merkle.consistency_proof(first, size, node)
    earlier = naive(LEAVES[:first])
    assert merkle.is_consistent(first, size, consistent, earlier, root)
    assert not merkle.is_consistent(first, size, consistent, b"x" * 32, root)
    assert not merkle.is_consistent(first, size, [*consistent, b"x" * 32], earlier, root)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 700), min_size=1, max_size=6))
def test_a_tree_that_grows_by_tiles_is_the_tree(steps: list[int]) -> None:
    kept: dict[tuple[int, int], bytes] = {}
    size = 0
    for wanted in steps:
        step = min(wanted, len(LEAVES) - size)
        last = {level: kept.get((level, (size >> 8 * level) // 256), b"") for level in range(8)}
        changed = list(tiles.grown(size, last, LEAVES[size : size + step]))
        assert [tile for tile, _ in changed] == sorted(tiles.of_size(size + step, since=size))
        for tile, content in changed:
            assert len(content) == tile.width * 32
            assert content.startswith(kept.get((tile.level, tile.number), b"")), "a tile only grows"
            kept[tile.level, tile.number] = content
        size += step
        if size:
            by_tiles = tiles.nodes(lambda level, number: kept[level, number])
            assert merkle.root(size, by_tiles) == naive(LEAVES[:size])
            middle = size // 2
            assert merkle.inclusion_proof(middle, size, by_tiles) == merkle.inclusion_proof(middle, size, node)


def test_tiles_of_70000_are_those_of_the_specification() -> None:
    found = list(tiles.of_size(70_000))
    full = [tile for tile in found if tile.width == 256]
    assert len([tile for tile in full if tile.level == 0]) == 273
    assert len([tile for tile in full if tile.level == 1]) == 1
    assert [(tile.level, tile.width) for tile in found if tile.width < 256] == [(0, 112), (1, 17), (2, 1)]
    assert [(tile.level, tile.width) for tile in tiles.of_size(256)] == [(0, 256), (1, 1)]


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        (tiles.Tile(0, 1_234_067, 256), "tile/0/x001/x234/067"),
        (tiles.Tile(1, 0, 17), "tile/1/000.p/17"),
        (tiles.Tile(0, 1_000, 256), "tile/0/x001/000"),
        (tiles.Tile(2, 999, 255), "tile/2/999.p/255"),
    ],
)
def test_paths_are_those_of_the_specification(tile: tiles.Tile, path: str) -> None:
    assert tile.path == path


@pytest.mark.parametrize(("first", "second"), [(0, 5), (6, 5), (-1, 5)])
def test_no_proof_is_made_of_what_cannot_be(first: int, second: int) -> None:
    with pytest.raises(ValueError, match="no consistency"):
        merkle.consistency_proof(first, second, node)
    with pytest.raises(ValueError, match="no leaf"):
        merkle.inclusion_proof(second, second, node)
