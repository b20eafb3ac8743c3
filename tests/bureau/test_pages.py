# SPDX-License-Identifier: Apache-2.0
"""The printable consent: everything it says is the consent's, all of it escaped, nothing from outside."""

import base64
import hashlib
import re

import pytest
from flask.testing import FlaskClient

from app import counter
from bureau import catalogue
from consent import words
from consent.question import CLASSES, PRODUCTS, PURPOSES
from consent.terms import PERIODS, Frequency
from consent.transitions import LIVE, TERMINAL
from tests import factories
from tests.kernel.test_problems import assert_problem

EVIL = "<script>alert(1)</script>"


def shown(client: FlaskClient, consent_id: str, bearer: str) -> str:
    response = client.get(f"/v1/consents/{consent_id}/printable", headers={"Authorization": f"Bearer {bearer}"})
    assert (response.status_code, response.content_type) == (200, "text/html; charset=utf-8")
    style = re.search(r"<style>(.*?)</style>", response.text, re.DOTALL)
    assert style
    seal = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert f"style-src 'sha256-{seal}'" in response.headers["Content-Security-Policy"]
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]
    assert "<script" not in response.text
    assert not re.search(r"(src|href|url\()", response.text)
    return response.text


def test_it_says_what_the_consent_says(client: FlaskClient) -> None:
    enterprise, institution = factories.new_uscc(), factories.bank(f"演示银行{EVIL}")
    factories.deliver([factories.registration(1, enterprise, f"苏州{EVIL}有限公司")])
    limits = {"max_queries": 7, "frequency": Frequency(2, "month"), "history_months": 24}
    consent_id = factories.consent(enterprise, institution, classes=(1, 5), purposes=("post_loan",), **limits)
    counter.change("pause", consent_id, EVIL)
    page = shown(client, consent_id, factories.signatory(enterprise))
    told = [enterprise, "第1类", "第5类 涉诉信息", "贷后管理", "不超过 7 次", "每月查询不超过 2 次", "24 个月"]
    told += ["已暂停", "长期有效", "第 2 版", "&lt;script&gt;", "须先终止全部查询授权"]
    for each in told:
        assert each in page, each
    assert "第3类" not in page
    assert len(re.findall(r"<tr><td>\d", page)) == 2


def test_only_who_may_see_the_consent_may_print_it(client: FlaskClient) -> None:
    enterprise, institution = factories.new_uscc(), factories.bank()
    consent_id = factories.consent(enterprise, institution)
    assert "查询授权书" in shown(client, consent_id, factories.token(institution))
    for stranger in (factories.signatory(factories.new_uscc()), factories.token(factories.bank())):
        headers = {"Authorization": f"Bearer {stranger}"}
        assert_problem(client.get(f"/v1/consents/{consent_id}/printable", headers=headers), 404, "not-found")


@pytest.mark.parametrize("grantee", ["kind:insurer", "platform"])
def test_wide_grantees_have_names(client: FlaskClient, grantee: str) -> None:
    enterprise = factories.new_uscc()
    page = shown(client, factories.consent(enterprise, grantee), factories.signatory(enterprise))
    assert ("保险公司" if grantee != "platform" else "平台全部接入机构") in page


def test_a_collect_consent_has_its_own_form(client: FlaskClient) -> None:
    enterprise = factories.new_uscc()
    page = shown(client, factories.consent(enterprise, scope="collect"), factories.signatory(enterprise))
    assert "企业信用信息采集授权书" in page
    assert "查询用途" not in page


def test_every_word_of_the_machine_has_a_chinese_one() -> None:
    assert set(words.CLASSES) == set(CLASSES)
    assert set(words.PURPOSES) == {*PURPOSES, "self"}
    assert set(words.PRODUCTS) == set(PRODUCTS)
    assert set(words.PERIODS) == set(PERIODS)
    assert set(words.STATUSES) == LIVE | TERMINAL | {"requested"}


def test_the_class_names_are_the_catalogues() -> None:
    known = {number: one.name_zh for number, one in catalogue.current().classes.items()}
    assert known == {number: told.zh for number, told in words.CLASSES.items()}
