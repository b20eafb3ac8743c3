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

from consent import words
from consent.store import digest_of
from kernel import clock

TEMPLATES = Path(__file__).parent / "templates"
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
        status=words.STATUSES[shown["status"]].zh,
        scope=SCOPES[shown["scope"]],
        enterprise=enterprise_name,
        grantee=grantee_name,
        classes=[f"第{number}类 {words.CLASSES[number].zh}" for number in shown["classes"]],
        purposes=[words.PURPOSES[name].zh for name in shown["purposes"]],
        products=[words.PRODUCTS[name].zh for name in shown["products"]],
        begins=_time(shown["not_before"]),
        ends=_time(shown["expires_at"]),
        granted=_time(shown["granted_at"]),
        limits=words.limits(shown, "zh"),
        clauses=CLAUSES[shown["scope"]] + COMMON,
        method=METHODS.get(evidence.get("method", ""), ""),
        channel=CHANNELS.get(evidence.get("channel", ""), ""),
        versions=[
            {
                "number": version["version"],
                "status": words.STATUSES[version["status"]].zh,
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


def _time(instant: str | None) -> str | None:
    if instant is None:
        return None
    return datetime.fromisoformat(instant).astimezone(clock.SHANGHAI).strftime("%Y年%m月%d日 %H:%M:%S")


@cache
def _template() -> Any:
    found = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined)
    return found.get_template("consent.html")
