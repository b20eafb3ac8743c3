# SPDX-License-Identifier: Apache-2.0
"""The product `records`: a pure function from a dossier to exactly the bytes of the contract."""

import hashlib
from datetime import UTC, datetime

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bureau import answers, catalogue, folios
from bureau.answers import Asked
from bureau.folios import Correction, Entry
from bureau.schemas import AnswerSchema
from bureau.vault import Dossier

ASKED = Asked("0197", "91320500MA1XY8014D", "pre_loan", "records", "c-1")
TIME = datetime(2026, 11, 23, 8, 0, 0, 5, UTC)


def record(number: int, dataset: str, **items: object) -> Entry:
    document = {
        "event_date": None, "id": f"1.{number}.{dataset}", "items": items, "source": "S01",
        "received_at": "2026-11-23T08:00:00.000000Z",
    }  # fmt: skip
    return Entry(dataset, None, number, orjson.dumps(document, option=orjson.OPT_SORT_KEYS))


def dossier(
    held: dict[int, list[list[Entry]]],
    corrections: dict[str, list[Correction]] | None = None,
    name: str | None = "演示甲",
) -> Dossier:
    regions = {
        number: [region for group in groups for region in folios.unpack(folios.pack(group), 3)]
        for number, groups in held.items()
    }
    return Dossier(ASKED.uscc, name, 3, TIME, regions, corrections or {})


def test_an_answer_is_the_document_of_the_contract() -> None:
    held = {
        2: [[record(1, "C2.01", a=1)]],
        1: [[record(2, "C1.02", b="乙"), record(3, "C1.01")], [record(4, "C1.02")]],
    }
    produced = answers.records(ASKED, dossier(held))
    document = orjson.loads(produced.body)
    assert list(document) == [
        "query_id", "uscc", "name", "as_of", "product", "purpose", "consent_id", "classes", "receipt",
    ]  # fmt: skip
    assert document | {"classes": None} == {
        "query_id": "0197",
        "uscc": "91320500MA1XY8014D",
        "name": "演示甲",
        "as_of": {"publication": 3, "time": "2026-11-23T08:00:00.000005Z"},
        "product": "records",
        "purpose": "pre_loan",
        "consent_id": "c-1",
        "classes": None,
        "receipt": "/v1/audit/receipts/0197",
    }
    shape = [
        (
            of["class"],
            of["name"],
            [(part["dataset"], [one["id"] for one in part["records"]]) for part in of["datasets"]],
        )
        for of in document["classes"]
    ]
    assert shape == [
        (1, "基本信息和财务信息", [("C1.01", ["1.3.C1.01"]), ("C1.02", ["1.2.C1.02", "1.4.C1.02"])]),
        (2, "用电用水用气等企业经营信息", [("C2.01", ["1.1.C2.01"])]),
    ]
    assert document["classes"][0]["datasets"][0]["name"] == "登记基本信息"
    assert produced.records == 4


def test_an_enterprise_with_nothing_on_file_has_empty_classes_and_no_records() -> None:
    produced = answers.records(ASKED, dossier({}, name=None))
    document = orjson.loads(produced.body)
    assert (document["classes"], document["name"], produced.records) == ([], None, 0)


def test_a_class_and_a_dataset_of_which_all_is_withdrawn_are_not_shown() -> None:
    held = {1: [[record(1, "C1.01"), record(2, "C1.02")]], 5: [[record(3, "C5.01")]]}
    gone = {"1.1.C1.01": [Correction("withdrawal")], "1.3.C5.01": [Correction("withdrawal")]}
    produced = answers.records(ASKED, dossier(held, gone))
    (only,) = orjson.loads(produced.body)["classes"]
    assert (only["class"], [part["dataset"] for part in only["datasets"]], produced.records) == (
        1,
        ["C1.02"],
        1,
    )


def test_a_disputed_record_says_so_and_a_corrected_one_shows_what_is_right() -> None:
    held = {1: [[record(1, "C1.01", a=1, b=2), record(2, "C1.02")]]}
    over = {"1.1.C1.01": [Correction("correction", {"a": None})], "1.2.C1.02": [Correction("dispute")]}
    first, second = orjson.loads(answers.records(ASKED, dossier(held, over)).body)["classes"][0]["datasets"]
    assert first["records"][0]["items"] == {"a": None, "b": 2}
    assert second["records"][0]["disputed"] is True
    assert "disputed" not in first["records"][0]


@given(st.lists(st.tuples(st.sampled_from(["C1.01", "C2.01", "C5.01"]), st.text(max_size=5)), max_size=8))
def test_every_answer_fits_the_documented_schema(told: list[tuple[str, str]]) -> None:
    held: dict[int, list[list[Entry]]] = {}
    for number, (dataset, text) in enumerate(told):
        entry = record(number, dataset, text=text.encode(errors="ignore").decode())
        held.setdefault(catalogue.current().datasets[dataset].class_number, []).append([entry])
    produced = answers.records(ASKED, dossier(held))
    document = orjson.loads(produced.body)
    assert AnswerSchema().validate(document) == {}
    assert produced.records == len(told)


def test_the_same_dossier_gives_the_same_bytes() -> None:
    held = {1: [[record(1, "C1.01", a=1)]]}
    once, again = (answers.records(ASKED, dossier(held)).body for _ in range(2))
    assert once == again
    assert (
        hashlib.sha256(once).digest()
        != hashlib.sha256(answers.records(ASKED._replace(query_id="0198"), dossier(held)).body).digest()
    )


@pytest.mark.parametrize("text", ['"', "\\", "\u2028", "\x7f", "</script>", "𠮷", "é"])
def test_a_name_of_any_signs_is_one_json_string(text: str) -> None:
    assert orjson.loads(answers.records(ASKED, dossier({}, name=text)).body)["name"] == text
