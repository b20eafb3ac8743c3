# SPDX-License-Identifier: Apache-2.0
"""No content of a record lies in the clear but in an answer: not in the database, a log or an error."""

import base64
import io
import logging
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog
from flask.testing import FlaskClient
from sqlalchemy import text

from app import logs
from bureau import answers, compaction, intake
from bureau.folios import Correction
from bureau.records import Row, Unreadable
from consent import consents
from kernel import db
from tests import factories
from tests.bureau.histories import History, case_filed, electricity, entries
from tests.bureau.storage import forms, found, stored_bytes
from tests.conftest import House
from tests.factories import COUNTER, ask, bank, consent, deliver, new_uscc, registration, token

NAME = "苏州演示绝密机械有限公司"
ITEM, RAW, CASE = "经营范围壹贰叁ScopeOfWork", "注册资金原文肆伍陆", "(2024)演示民初柒捌玖号"
REJECTED, UNREADABLE, UNFIT = "退回的行甲乙丙RejectedRow", "读不懂的行丁戊己", "类型不对庚辛壬"
CORRECTED, HELD_BACK, RAISED = "更正内容子丑寅Corrected", "未授权的贷款卯辰巳", "异常里的内容午未申InError"
SECRETS = [ITEM, RAW, CASE, REJECTED, UNREADABLE, UNFIT, CORRECTED, HELD_BACK, RAISED]


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], str]]:
    """All that was logged, at the most talkative, by us or by a library, and all that was printed."""
    printed = io.StringIO()
    for stream in ("stdout", "stderr"):
        monkeypatch.setattr(sys, stream, printed)
    caplog.set_level(logging.DEBUG)
    logs.set_up("debug")
    yield lambda: printed.getvalue() + caplog.text
    structlog.reset_defaults()


def a_delivery_of_secrets() -> History:
    history = History(new_uscc())
    rows: list[Any] = [
        registration(1, history.uscc, NAME, **{"C1.01.20": ITEM, "C1.01.07": UNFIT})._replace(raw={"C1.01.08": RAW}),
        case_filed(2, history.uscc, CASE),
        Unreadable(3, "malformed-row", {"row": UNREADABLE}),
        registration(4, "320500000012345", REJECTED),
        registration(5, history.uscc, REJECTED)._replace(event_date=REJECTED),
        registration(6, history.uscc)._replace(items={REJECTED: REJECTED}),
        registration(7, history.uscc)._replace(dataset=REJECTED),
        registration(8, "nobody")._replace(delivered={"企业名称": REJECTED}),
        registration(9, REJECTED),
    ]
    receipt = deliver(rows)
    assert (receipt.accepted, receipt.rejected) == (2, 7)
    held_back = deliver([registration(1, history.uscc, HELD_BACK)], basis="lender")
    assert held_back.reasons == {"no-collection-consent": 1}
    for month in range(1, 9):
        history.deliver([electricity(1, history.uscc, f"2024-{month:02}", **{"C2.01.02": ITEM})])
    with db.transaction() as tx:
        assert compaction.compact(tx, history.uscc, 2)
    history.lay_over(f"{receipt.batch}.1.C1.01", Correction("correction", {"C1.01.20": CORRECTED}))
    return history


def breaking() -> Iterator[Row]:
    yield registration(1, new_uscc(), **{"C1.01.20": ITEM})
    raise OSError(RAISED)


def fail(asked: object, dossier: object) -> Any:
    raise ValueError(RAISED, dossier)


def test_no_content_lies_in_the_clear_but_in_the_answer(
    house: House, client: FlaskClient, monkeypatch: pytest.MonkeyPatch, logged: Callable[[], str]
) -> None:
    monkeypatch.setattr(intake, "CHUNK_ROWS", 1)
    history, asking = a_delivery_of_secrets(), bank()
    bearer, responses = token(asking), []
    with pytest.raises(OSError, match=RAISED):
        intake.receive(factories.batch(breaking()))  # what was stored of it stays there, invisible

    responses.append(ask(client, bearer, history.uscc))  # refused
    given = consent(history.uscc, asking)
    answered = ask(client, bearer, history.uscc, key="once")
    assert answered.status_code == 200
    assert found(SECRETS, answered.data) == [ITEM, RAW, CASE, UNFIT, CORRECTED]
    with monkeypatch.context() as patch:
        patch.setattr(answers, "records", fail)
        responses.append(ask(client, bearer, history.uscc))
    with db.transaction() as tx:
        tx.execute(text("UPDATE folio SET part = part + 1"))
    responses += [ask(client, bearer, history.uscc), ask(client, bearer, history.uscc, key="once")]
    with db.transaction() as tx:
        tx.execute(text("UPDATE folio SET part = part - 1"))
        tx.execute(text("ALTER TABLE entry RENAME TO entry_away"))
    responses += [ask(client, bearer, history.uscc), ask(client, bearer, history.uscc, key="once")]
    with db.transaction() as tx:
        tx.execute(text("ALTER TABLE entry_away RENAME TO entry"))
        consents.revoke(tx, given, COUNTER)
    responses.append(ask(client, bearer, history.uscc, key="once"))

    assert [response.status_code for response in responses] == [403, 500, 500, 500, 503, 503, 403]
    assert "unexpected error" in logged()
    stored = stored_bytes(house)
    assert found(SECRETS, b"\n".join(response.data for response in responses)) == []
    assert found(SECRETS, logged().encode()) == []
    assert found(SECRETS, repr(entries()).encode()) == []
    assert found(SECRETS, stored) == []
    assert b'"C1.01.20"' not in stored
    assert found([NAME, history.uscc, "S01"], stored) == [NAME, history.uscc, "S01"]


def test_who_delivers_a_name_puts_it_into_the_directory_and_nothing_else(house: House) -> None:
    """The control: what is meant to lie in the clear is found, so the search does search."""
    uscc = new_uscc()
    deliver([registration(1, uscc, NAME, **{"C1.01.20": ITEM})])
    stored = stored_bytes(house)
    assert found([NAME, uscc, ITEM], stored) == [NAME, uscc]
    assert stored.count(NAME.encode()) <= 2  # once, or once more in SQLite's write-ahead log


@pytest.mark.parametrize("encoded", list(forms(ITEM)))
def test_the_search_finds_every_form(encoded: bytes) -> None:
    assert found([ITEM], b"before " + encoded + b" after") == [ITEM]


def test_the_search_finds_a_text_within_a_longer_one_in_base64() -> None:
    for shift in range(9):
        assert found([ITEM], base64.b64encode(b"x" * shift + f"{ITEM} and more".encode())) == [ITEM]
