# SPDX-License-Identifier: Apache-2.0
"""The words for what consents speak of, Chinese first, English second: for the pages and for the printed form."""

from collections.abc import Mapping
from typing import Any, NamedTuple


class Words(NamedTuple):
    zh: str
    en: str


def say(words: Words, language: str) -> str:
    """Words in `zh` or `en`."""
    return words.en if language == "en" else words.zh


CLASSES: Mapping[int, Words] = {
    1: Words("基本信息和财务信息", "Registration and finances"),
    2: Words("用电用水用气等企业经营信息", "Operations: power, water, gas and more"),
    3: Words("金融领域的借贷信息", "Loans and other credit"),
    4: Words("正面评价及负面处罚信息", "Commendations and penalties"),
    5: Words("涉诉信息", "Court cases"),
    6: Words("进出口贸易数据", "Import and export"),
    7: Words("权益数据", "Property and other rights"),
}
PURPOSES: Mapping[str, Words] = {
    "pre_loan": Words("贷前审查", "Review before a loan"),
    "loan_approval": Words("授信审批", "Approval of a loan"),
    "post_loan": Words("贷后管理", "Watch over a loan while it runs"),
    "guarantee": Words("担保审查", "Review of a guarantee"),
    "insurance": Words("保险承保与理赔", "Insurance and claims"),
    "equity_investment": Words("股权投资", "Equity investment"),
    "trade_credit": Words("贸易信用", "Trade credit"),
    "screening": Words("信息筛选", "Finding suitable enterprises"),
    "administration": Words("行政管理", "Public administration"),
    "self": Words("本企业查阅", "Our own reading"),
}
PRODUCTS: Mapping[str, Words] = {
    "records": Words("信用信息记录", "The records themselves"),
    "screening": Words("信息筛选", "Being found by criteria"),
}
STATUSES: Mapping[str, Words] = {
    "requested": Words("待授权", "Awaiting an answer"),
    "rejected": Words("已拒绝", "Rejected"),
    "lapsed": Words("已失效（逾期未答复）", "Lapsed unanswered"),
    "active": Words("有效", "In force"),
    "paused": Words("已暂停", "Paused"),
    "suspended": Words("已被征信机构中止", "Suspended by the bureau"),
    "revoked": Words("已终止", "Revoked"),
    "expired": Words("已到期", "Expired"),
    "consumed": Words("次数已用完", "Used up"),
    "superseded": Words("已被新授权取代", "Replaced by a newer one"),
}
PERIODS: Mapping[str, Words] = {
    "day": Words("日", "day"),
    "week": Words("周", "week"),
    "month": Words("月", "month"),
    "year": Words("年", "year"),
}
EACH: Mapping[str, Words] = {per: Words(f"每{name.zh}", f"a {name.en}") for per, name in PERIODS.items()}
KINDS: Mapping[str, Words] = {
    "bank": Words("银行", "Bank"),
    "insurer": Words("保险公司", "Insurer"),
    "guarantor": Words("担保公司", "Guarantor"),
    "investor": Words("投资机构", "Investor"),
    "leasing": Words("融资租赁公司", "Leasing company"),
    "microloan": Words("小额贷款公司", "Microloan company"),
    "government": Words("政府部门", "Public authority"),
    "other": Words("其他机构", "Other institution"),
}
REASONS: Mapping[str, Words] = {  # why a question was refused: its rule on the trail
    "no-consent": Words("没有授权", "no consent"),
    "consent-expired": Words("授权已到期", "the consent had expired"),
    "consent-paused": Words("授权已暂停", "the consent was paused"),
    "consent-suspended": Words("授权已被中止", "the consent was suspended"),
    "other-consent": Words("不在该次授权之内", "not under the consent that was used"),
    "purpose-not-covered": Words("用途不在授权之内", "purpose not covered"),
    "class-not-covered": Words("信息类别不在授权之内", "information not covered"),
    "product-not-covered": Words("使用方式不在授权之内", "form not covered"),
    "quota-exhausted": Words("次数已用完", "no query left"),
    "institution-not-approved": Words("机构未获准入", "the institution is not approved"),
    "purpose-not-allowed": Words("机构不得用于该用途", "purpose not open to the institution"),
    "product-not-allowed": Words("机构不得使用该产品", "form not open to the institution"),
    "record-altered": Words("档案未通过完整性核验", "a record failed its integrity check"),
    "answer-gone": Words("结果已不能重现", "the answer can no longer be made"),
}
FIELDS: Mapping[str, Words] = {  # of the forms on pages, as their labels name them
    "purposes": Words("用途", "What for"),
    "classes": Words("信息类别", "Which information"),
    "products": Words("使用方式", "In which form"),
    "until": Words("授权至（含当日）", "Until, this day included"),
    "expires_at": Words("授权至（含当日）", "Until, this day included"),  # what `until` becomes
    "max_queries": Words("最多查询次数", "At most so many queries"),
    "frequency": Words("最多查询频率", "At most so often"),
    "per": Words("查询频率的周期", "At most so often: the period"),
    "history": Words("只展示最近几个月的事项", "Only events of the last so many months"),
    "decision": Words("答复", "Your answer"),
    "act": Words("办理事项", "What to do"),
    "sure": Words("我确认终止本授权", "I want to revoke this consent"),
}
_TICKED = Words("至少勾选一项，且不超出请求的内容", "tick at least one, and nothing beyond what was asked for")
_DAY = Words("填写今天或以后的日期，且不晚于请求的日期", "a day from today on, and no later than was asked for")
TAKES: Mapping[str, Words] = {  # what each of them takes
    "purposes": _TICKED,
    "classes": _TICKED,
    "products": _TICKED,
    "until": _DAY,
    "expires_at": _DAY,
    "max_queries": Words(
        "填写 1 至 100 万的整数，且不多于请求的次数", "a whole number from 1 to 1,000,000, no more than was asked for"
    ),
    "frequency": Words(
        "填写 1 至 100 万的整数，且不比请求的更频繁",
        "a whole number from 1 to 1,000,000, no more often than was asked for",
    ),
    "per": Words("选择每日、每周、每月或每年", "choose a day, a week, a month or a year"),
    "history": Words(
        "填写 1 至 600 的整数，且不多于请求的月数", "a whole number from 1 to 600, no more than was asked for"
    ),
    "decision": Words("选择同意或拒绝", "grant or reject"),
    "act": Words("选择暂停、恢复或终止", "pause, resume or revoke"),
    "sure": Words("终止后不能撤回，请先勾选", "what is revoked stays so: tick it first"),
}
# What the signatory is told beside the terms; its digest is kept with the consent as the notice that was shown.
NOTICE_VERSION = "redirect-2026-11"
NOTICE: tuple[Words, ...] = (
    Words(
        "机构每次查询都须注明用途和经办人，并留下记录，您可以随时查看。",
        "Each query names its purpose and the person who asks, and is recorded; you can read the record at any time.",
    ),
    Words(
        "您可以随时暂停或终止本授权；自确认之时起，后续查询即被拒绝。",
        "You can pause or revoke this consent at any time; from then on queries are refused.",
    ),
    Words(
        "查询结果只能用于上述用途，不得向第三方提供。",
        "What is found may be used for these purposes only, and passed on to nobody.",
    ),
    Words(
        "认为信息有误的，您有权提出异议。",
        "You have the right to dispute what is wrong.",
    ),
)


def limits(shown: Mapping[str, Any], language: str) -> list[str]:
    """The limits of a consent as shown by `consent.store`, each in a sentence."""
    told: list[Words] = []
    if most := shown.get("max_queries"):
        told.append(Words(f"每家机构累计查询不超过 {most} 次", f"At most {most} queries in all by each institution"))
    if often := shown.get("frequency"):
        per, count = PERIODS[often["per"]], often["count"]
        told.append(Words(f"每家机构每{per.zh}查询不超过 {count} 次", f"At most {count} queries a {per.en} by each"))
    if history := shown.get("history"):
        months = history["months"]
        told.append(Words(f"只展示最近 {months} 个月内发生的事项", f"Only events of the last {months} months"))
    return [say(words, language) for words in told]
