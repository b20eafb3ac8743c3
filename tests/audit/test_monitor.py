# SPDX-License-Identifier: Apache-2.0
"""Whoever watches the published log from outside: that it only grew is proved, and what is not that is noticed."""

from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit import merkle, monitor, notes, tiles
from audit.monitor import Fetch, Forked
from audit.notes import BadNote, Checkpoint
from kernel.errors import NotFound
from tests.audit.test_merkle import LEAVES, naive

ORIGIN = "bureau.example/log"
MOST = 1_100


def published(size: int) -> Fetch:
    """A folder with the tiles of a log of this size and no other file."""
    files = {tile.path: content for tile, content in tiles.grown(0, {}, LEAVES[:size])}
    return partial(_from, files)


def _from(files: dict[str, bytes], path: str) -> bytes:
    if path not in files:
        raise NotFound(path)
    return files[path]


def checkpoint(size: int) -> Checkpoint:
    return Checkpoint(ORIGIN, size, naive(LEAVES[:size]) if size else merkle.EMPTY_ROOT)


@settings(max_examples=150)
@given(st.data())
def test_between_any_two_sizes_the_newest_tiles_prove_that_the_log_only_grew(data: st.DataObject) -> None:
    newest = data.draw(st.integers(1, MOST))
    newer = data.draw(st.integers(1, newest))
    older = data.draw(st.integers(0, newer))
    fetch = published(newest)
    proof = monitor.require_grown(checkpoint(older), checkpoint(newer), checkpoint(newest), fetch)
    if 0 < older < newer:
        assert merkle.is_consistent(older, newer, proof, checkpoint(older).root, checkpoint(newer).root)
    if older > 0:
        another = Checkpoint(ORIGIN, older, b"x" * 32)
        with pytest.raises(Forked):
            monitor.require_grown(another, checkpoint(newer), checkpoint(newest), fetch)
    monitor.require_whole(checkpoint(newest), fetch)


@pytest.mark.parametrize(
    ("older", "newer", "told"),
    [
        (checkpoint(7), checkpoint(5), "rolled back"),
        (Checkpoint(ORIGIN, 5, b"x" * 32), checkpoint(5), "different roots"),
        (Checkpoint("another/log", 3, b"x" * 32), checkpoint(5), "two logs"),
        (checkpoint(3), Checkpoint(ORIGIN, 5, b"x" * 32), "does not begin with"),
    ],
)
def test_a_log_that_did_not_only_grow_is_refused_with_the_reason(
    older: Checkpoint, newer: Checkpoint, told: str
) -> None:
    with pytest.raises(Forked, match=told):
        monitor.require_grown(older, newer, checkpoint(5), published(5))


def test_a_tile_that_became_full_meanwhile_serves_for_the_partial_one() -> None:
    before, now = published(500), published(530)  # the log grew while the monitor read

    def fetch(path: str) -> bytes:
        if path == "tile/0/001.p/244":
            raise NotFound(path)
        try:
            return now(path)
        except NotFound:
            return before(path)

    assert monitor.require_grown(checkpoint(300), checkpoint(500), checkpoint(500), fetch)
    monitor.require_whole(checkpoint(500), fetch)


@settings(max_examples=60)
@given(st.data())
def test_a_bit_of_any_tile_that_flips_and_a_tile_that_is_gone_are_noticed(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 700))
    tile = data.draw(st.sampled_from(list(tiles.of_size(size))))
    place, bit = data.draw(st.integers(0, tile.width * 32 - 1)), 1 << data.draw(st.integers(0, 7))
    whole = published(size)

    def flipped(path: str) -> bytes:
        content = bytearray(whole(path))
        if path == tile.path:
            content[place] ^= bit
        return bytes(content)

    def missing(path: str) -> bytes:
        if path == tile.path:
            raise NotFound(path)
        return whole(path)

    def short(path: str) -> bytes:
        return whole(path)[: -32 if path == tile.path else None]

    for spoiled in (flipped, missing, short):
        with pytest.raises(Forked):
            monitor.require_whole(checkpoint(size), spoiled)


@pytest.mark.parametrize("note", [b"", b"\xff\xfe", b"no note\n\nat all\n"])
def test_what_is_no_checkpoint_is_refused(note: bytes) -> None:
    key: Any = notes.Verifier(ORIGIN, notes.ED25519, b"\x01" * 32)
    with pytest.raises(BadNote):
        monitor.opened(note, [key])
