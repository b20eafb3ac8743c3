# SPDX-License-Identifier: Apache-2.0
"""A consent as a document to print and to seal (企业信用信息采集、查询授权书), Chinese first.

The clauses follow what Suzhou's own form provides for (requirements 1.3), in our words: two separable scopes,
open-ended unless it says otherwise, query ended before collection. One self-contained page: no script, no request.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from consent.store import digest_of
from kernel import clock

TEMPLATES = Path(__file__).parent / "templates"
CLASSES = {
    1: "基本信息和财务信息",
    2: "用电用水用气等企业经营信息",
    3: "金融领域的借贷信息",
    4: "正面评价及负面处罚信息",
    5: "涉诉信息",
    6: "进出口贸易数据",
    7: "权益数据",
}
PURPOSES = {
    "pre_loan": "贷前审查",
    "loan_approval": "授信审批",
    "post_loan": "贷后管理",
    "guarantee": "担保审查",
    "insurance": "保险承保与理赔",
    "equity_investment": "股权投资",
    "trade_credit": "贸易信用",
    "screening": "信息筛选",
    "administration": "行政管理",
}
PRODUCTS = {"records": "信用信息记录", "screening": "信息筛选"}
STATUSES = {
    "requested": "待授权",
    "rejected": "已拒绝",
    "lapsed": "已失效（逾期未答复）",
    "active": "有效",
    "paused": "已暂停",
    "suspended": "已被征信机构中止",
    "revoked": "已终止",
    "expired": "已到期",
    "consumed": "次数已用完",
    "superseded": "已被新授权取代",
}
PERIODS = {"day": "日", "week": "周", "month": "月", "year": "年"}
METHODS = {
    "session": "登录确认",
    "electronic_signature": "电子签名",
    "seal": "公章",
    "handwritten": "手写签名",
}
CHANNELS = {"api": "接口", "page": "网页", "counter": "柜台", "institution": "金融机构代收"}
TITLES = {
    "collect": ("企业信用信息采集授权书", "Consent to the collection of enterprise credit information"),
    "query": ("企业信用信息查询授权书", "Consent to queries of enterprise credit information"),
}
SCOPES = {"collect": "采集：征信机构可以采集本企业的信用信息", "query": "查询：被授权人可以查询本企业的信用信息"}
CLAUSES = {
    "collect": (
        "授权人同意征信机构依法采集其基本信息、经营信息、正面与负面信息和金融信息，包括历史信息及其后续更新；法律法规禁止采集的信息除外。",
        "信息可以来自国家机关、政府部门、事业单位、金融机构、行业协会、社会组织和互联网平台；授权人同意上述单位向征信机构提供。",
    ),
    "query": (
        "授权人同意上述被授权人为所列用途查询并使用所列类别的信息；每次查询须由具体经办人提出，并记入可供核验的查询记录。",
        "被授权人不得将查询结果用于所列用途以外的目的，不得向第三方提供。",
    ),
}
COMMON = (
    "采集授权与查询授权相互独立。授权人可以随时终止查询授权；终止采集授权以前，须先终止全部查询授权。终止采集后，征信机构的任何产品均不再展示其档案。",
    "授权人可以暂停、恢复、终止本授权；自征信机构确认之时起，后续查询即被拒绝。",
    "授权人有权查阅自身档案和被查询记录；认为信息有误的，可以向征信机构提出异议，也可以向中国人民银行当地分支机构投诉。",
    "授权人了解提供非公开信息和负面信息可能带来的后果，并自愿作出本授权。",
)


def page(
    shown: Mapping[str, Any],
    versions: Iterable[Mapping[str, Any]],
    *,
    grantee_name: str,
    enterprise_name: str | None,
    keys_at: str,
) -> str:
    """The page: `shown` as `consent.store.shown` gives it, `versions` as `history` does. Everything is escaped."""
    title, title_en = TITLES[shown["scope"]]
    evidence = shown.get("evidence") or {}
    rendered: str = _template().render(
        consent=shown,
        style=style(),
        title=title,
        title_en=title_en,
        status=STATUSES[shown["status"]],
        scope=SCOPES[shown["scope"]],
        enterprise=enterprise_name,
        grantee=grantee_name,
        classes=[f"第{number}类 {CLASSES[number]}" for number in shown["classes"]],
        purposes=[PURPOSES[name] for name in shown["purposes"]],
        products=[PRODUCTS[name] for name in shown["products"]],
        begins=_time(shown["not_before"]),
        ends=_time(shown["expires_at"]),
        granted=_time(shown["granted_at"]),
        limits=list(_limits(shown)),
        clauses=CLAUSES[shown["scope"]] + COMMON,
        method=METHODS.get(evidence.get("method", ""), ""),
        channel=CHANNELS.get(evidence.get("channel", ""), ""),
        versions=[
            {
                "number": version["version"],
                "status": STATUSES[version["status"]],
                "time": _time(version["changed_at"]),
                "digest": digest_of(version),
            }
            for version in versions
        ],
        keys_at=keys_at,
    )
    return rendered


@cache
def style() -> Markup:
    """The style sheet, ours and without anything that HTML could take for an end."""
    return Markup((TEMPLATES / "consent.css").read_text(encoding="utf-8"))  # noqa: S704


def _limits(shown: Mapping[str, Any]) -> Iterable[str]:
    if shown.get("max_queries"):
        yield f"每家机构累计查询不超过 {shown['max_queries']} 次"
    if frequency := shown.get("frequency"):
        yield f"每家机构每{PERIODS[frequency['per']]}查询不超过 {frequency['count']} 次"
    if history := shown.get("history"):
        yield f"只展示最近 {history['months']} 个月内发生的事项"


def _time(instant: str | None) -> str | None:
    if instant is None:
        return None
    return datetime.fromisoformat(instant).astimezone(clock.SHANGHAI).strftime("%Y年%m月%d日 %H:%M:%S")


@cache
def _template() -> Any:
    found = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined)
    return found.get_template("consent.html")
