# SPDX-License-Identifier: Apache-2.0
"""What is wrong with a form of the enterprise's pages, in the reader's words: each field as its label names it.

The API's own messages are for engineers, and English; people are told what each field takes.
"""

from collections.abc import Mapping

from consent import policy, words
from consent.policy import Rules
from consent.words import Words, say
from kernel.errors import BureauError


def told(error: BureauError, language: str) -> list[tuple[str, str]]:
    """Name of the field and what it takes, for each field that an error names, in their order on the form."""
    fields, rule = error.extra.get("errors"), error.extra.get("rule")
    named = [name for name in words.FIELDS if name in fields] if isinstance(fields, Mapping) else []
    return [
        (say(words.FIELDS[name], language), say(_beyond(str(rule)) if rule else words.TAKES[name], language))
        for name in named
    ]


def _beyond(rule: str) -> Words:
    """What a rule of the policy allows at most, such as `pre_loan.longest_validity_days`."""
    purpose, _, key = rule.partition(".")
    name, limit = words.PURPOSES[purpose], _limit(policy.current().purposes[purpose], key)
    return Words(f"{name.zh}：{limit.zh}", f"{name.en}: {limit.en}")


def _limit(rules: Rules, key: str) -> Words:
    if key == "longest_validity_days":
        days = rules.longest_validity.days
        return Words(f"授权最长 {days} 天", f"at most {days} days")
    if key == "widest_history_months":
        months = rules.widest_history_months
        return Words(f"最多展示最近 {months} 个月的事项", f"at most the last {months} months")
    if key == "highest_frequency" and (most := rules.highest_frequency):
        per = words.EACH[most.per]
        return Words(f"最多{per.zh} {most.count} 次", f"at most {most.count} {per.en}")
    allowed = [words.PRODUCTS[one] for one in rules.products]
    if key == "classes":
        allowed = [words.CLASSES[one] for one in rules.classes]
    zh, en = "、".join(one.zh for one in allowed), ", ".join(one.en for one in allowed)
    return Words(f"只限{zh}", f"only: {en}")
