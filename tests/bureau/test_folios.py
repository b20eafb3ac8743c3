# SPDX-License-Identifier: Apache-2.0
"""The folio's inside: what is packed comes out, and an answer does not depend on how records were grouped."""

import itertools
import threading
from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from bureau import folios
from bureau.folios import Correction, Entry, Region

DATASETS = ("C1.01", "C1.02", "C1.10")
NEWEST = 6
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
values = st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | texts
corrections = st.one_of(
    st.dictionaries(st.sampled_from(["a", "b"]), values, max_size=2).map(lambda items: Correction("correction", items)),
    st.just(Correction("dispute")),
    st.just(Correction("withdrawal")),
)


class Known(NamedTuple):
    """A random history: its records in the order of their publications, and what lies over some of them."""

    records: list[Entry]
    corrections: dict[str, list[Correction]]


@st.composite
def histories(draw: st.DrawFn) -> Known:
    told = draw(
        st.lists(
            st.tuples(
                st.integers(1, NEWEST),
                st.sampled_from(DATASETS),
                st.integers(0, 3) | st.integers(0, 2**64 - 1),
                st.dictionaries(st.sampled_from(["a", "b", "c"]), values, max_size=3),
            ),
            max_size=14,
        )
    )
    records = []
    for row, (publication, dataset, identity, items) in enumerate(sorted(told, key=lambda one: one[0]), 1):
        document = {"id": f"{publication}.{row}.{dataset}", "items": items, "event_date": None, "raw": {"a": "un"}}
        body = orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
        records.append(Entry(dataset, publication, identity, body))
    ids = [orjson.loads(record.body)["id"] for record in records]
    laid = st.lists(corrections, min_size=1, max_size=3)
    over = draw(st.dictionaries(st.sampled_from(ids), laid, max_size=3)) if ids else {}
    return Known(records, over)


def spliced(groups: Sequence[Sequence[Entry]], as_of: int, over: dict[str, list[Correction]]) -> list[Any]:
    """Pack each group as a folio of its newest publication, unpack all, splice."""
    regions: list[Region] = []
    for group in groups:
        if group:
            newest = max(record.publication or 0 for record in group)
            regions += folios.unpack(folios.pack(group), newest)
    return [(dataset, count, b",".join(pieces)) for dataset, count, pieces in folios.splice(regions, as_of, over)]


def naively(known: Known, as_of: int) -> dict[str, list[dict[str, Any]]]:
    """The same by filtering, taking the latest of each identity, and applying what lies over it."""
    standing: dict[str, list[dict[str, Any]]] = {}
    published = [record for record in known.records if (record.publication or 0) <= as_of]
    for place, record in enumerate(published):
        later = [(one.dataset, one.identity) for one in published[place + 1 :]]
        document = orjson.loads(record.body)
        over = known.corrections.get(document["id"], [])
        if (record.dataset, record.identity) in later or Correction("withdrawal") in over:
            continue
        for one in over:
            if one.kind == "dispute":
                document["disputed"] = True
                continue
            document["items"] |= one.items or {}
            document["corrected"] = True
            if "a" in (one.items or {}):
                document.pop("raw", None)
        standing.setdefault(record.dataset, []).append(document)
    return standing


@given(histories())
def test_what_is_packed_comes_out_again(known: Known) -> None:
    regions = folios.unpack(folios.pack(known.records), NEWEST)
    out = [entry for region in regions for entry in region.entries()]
    assert out == sorted(known.records, key=lambda record: record.dataset)
    assert [region.dataset for region in regions] == sorted({record.dataset for record in known.records})


@given(histories(), st.integers(1, 9))
def test_records_without_a_publication_get_their_batchs(known: Known, publication: int) -> None:
    unnumbered = [record._replace(publication=None) for record in known.records]
    regions = folios.unpack(folios.pack(unnumbered), publication)
    assert {entry.publication for region in regions for entry in region.entries()} <= {publication}


@given(histories(), st.integers(0, NEWEST + 1))
def test_splicing_equals_filtering_record_by_record(known: Known, as_of: int) -> None:
    told = {
        dataset: orjson.loads(b"[" + body + b"]")
        for dataset, _, body in spliced([known.records], as_of, known.corrections)
    }
    assert told == naively(known, as_of)


@given(histories(), st.integers(0, NEWEST + 1))
def test_a_count_is_the_number_of_the_records_that_follow(known: Known, as_of: int) -> None:
    for _, count, body in spliced([known.records], as_of, known.corrections):
        assert count == len(orjson.loads(b"[" + body + b"]")) > 0


@given(histories(), st.integers(0, NEWEST + 1), st.lists(st.integers(0, 14), max_size=5))
def test_the_bytes_do_not_depend_on_the_grouping_into_folios(known: Known, as_of: int, cuts: list[int]) -> None:
    """What compaction relies on: runs of records may be merged, then cut by dataset, without a trace."""
    ends = [0, *sorted(min(cut, len(known.records)) for cut in cuts), len(known.records)]
    groups = [known.records[start:end] for start, end in itertools.pairwise(ends)]
    one_each = [[record] for record in known.records]
    merged = sorted(known.records, key=lambda record: record.dataset)
    parts = [merged[at : at + 3] for at in range(0, len(merged), 3)]
    whole = spliced([known.records], as_of, known.corrections)
    assert spliced(groups, as_of, known.corrections) == whole
    assert spliced(one_each, as_of, known.corrections) == whole
    assert spliced(parts, as_of, known.corrections) == whole


@given(histories())
def test_what_was_known_once_stays_known_or_is_superseded(known: Known) -> None:
    """As of a later publication there are the same identities and more, never fewer."""
    seen: set[tuple[str, str]] = set()
    by_id = {orjson.loads(record.body)["id"]: str(record.identity) for record in known.records}
    for as_of in range(NEWEST + 1):
        now = {
            (dataset, by_id[document["id"]])
            for dataset, _, body in spliced([known.records], as_of, {})
            for document in orjson.loads(b"[" + body + b"]")
        }
        assert seen <= now
        seen = now


def test_a_dataset_without_a_correction_is_not_parsed() -> None:
    """The bytes go through as they are, even those that are no JSON at all."""
    touched = b'{"event_date":null,"id":"1.2.C1.02","items":{}}'
    records = [Entry("C1.01", 1, 1, b"not json"), Entry("C1.02", 1, 2, touched)]
    over = {"1.2.C1.02": [Correction("dispute")]}
    assert spliced([records], 1, over)[0] == ("C1.01", 1, b"not json")


def test_a_folio_is_smaller_than_its_records() -> None:
    body = orjson.dumps({"id": "1.1.C1.01", "items": {"C1.01.20": "精密机械制造、销售" * 20}})
    assert len(folios.pack([Entry("C1.01", None, number, body) for number in range(50)])) < 50 * len(body) / 10


def test_threads_pack_and_unpack_side_by_side() -> None:
    """A zstd context shared between threads would corrupt memory; each thread has its own."""
    faults: list[str] = []

    def work(seed: int) -> None:
        for turn in range(40):
            records = [
                Entry(
                    "C1.01",
                    None,
                    seed * 1_000 + row,
                    b'{"seed":%d,"turn":%d,"row":%d}' % (seed, turn, row) * 9,
                )
                for row in range(1 + turn * 5)
            ]
            out = [entry for region in folios.unpack(folios.pack(records), 7) for entry in region.entries()]
            if out != [record._replace(publication=7) for record in records]:
                faults.append(f"thread {seed}, turn {turn}")

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults


def test_the_numbers_of_a_folio_are_little_endian_on_every_machine() -> None:
    packed = folios.pack([Entry("C1.01", None, 1, b"{}")])
    length, identity = b"\2\0\0\0", b"\1" + b"\0" * 7
    assert zstandard.ZstdDecompressor().decompress(packed).endswith(length + identity + b"{}")
