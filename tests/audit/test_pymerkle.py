# SPDX-License-Identifier: Apache-2.0
"""The tree held against pymerkle, an independent implementation of the same RFC, over sizes drawn at random."""

from functools import partial

import pymerkle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit import merkle, tiles

MOST = 600
WORDS = [f"leaf {number}".encode() for number in range(MOST)]


def tree_of(size: int) -> pymerkle.InmemoryTree:
    tree = pymerkle.InmemoryTree(algorithm="sha256")
    for word in WORDS[:size]:
        tree.append_entry(word)
    return tree


def grown(size: int) -> dict[tuple[int, int], bytes]:
    """Our tiles of so many leaves."""
    hashes = [merkle.leaf_hash(word) for word in WORDS[:size]]
    return {(tile.level, tile.number): content for tile, content in tiles.grown(0, {}, hashes)}


ORACLE, TILES = tree_of(MOST), grown(MOST)
node = tiles.nodes(partial(lambda kept, level, number: kept[level, number], TILES))


@settings(max_examples=120)
@given(st.integers(1, MOST))
def test_roots_are_those_of_pymerkle(size: int) -> None:
    assert merkle.root(size, node) == ORACLE.get_root(size)


@settings(max_examples=120)
@given(st.integers(1, MOST), st.data())
def test_inclusion_proofs_are_those_of_pymerkle_and_it_takes_ours(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    theirs = ORACLE.prove_inclusion(index + 1, size)  # counts from one, and puts the leaf's own hash first
    ours = merkle.inclusion_proof(index, size, node)
    leaf, root = merkle.leaf_hash(WORDS[index]), merkle.root(size, node)
    assert theirs.path == [leaf, *ours]
    taken = pymerkle.InclusionProof("sha256", True, size, index + 1, theirs.rule, [leaf, *ours])
    pymerkle.verify_inclusion(leaf, root, taken, index=index + 1, size=size)
    assert merkle.is_included(leaf, index, size, theirs.path[1:], root)


@settings(max_examples=120)
@given(st.integers(1, MOST), st.data())
def test_both_agree_which_earlier_root_is_consistent(size: int, data: st.DataObject) -> None:
    """Their proofs have other hashes in another order; what both decide is whether one root follows from another."""
    first = data.draw(st.integers(1, size))
    theirs, ours = ORACLE.prove_consistency(first, size), merkle.consistency_proof(first, size, node)
    pymerkle.verify_consistency(merkle.root(first, node), merkle.root(size, node), theirs, first, size)
    assert merkle.is_consistent(first, size, ours, ORACLE.get_root(first), ORACLE.get_root(size))
    other = ORACLE.get_root(first % size + 1)
    if other != ORACLE.get_root(first):
        with pytest.raises(pymerkle.InvalidProof):
            pymerkle.verify_consistency(other, ORACLE.get_root(size), theirs, first, size)
        assert not merkle.is_consistent(first, size, ours, other, ORACLE.get_root(size))
