# SPDX-License-Identifier: Apache-2.0
"""What an indicator is, and the twelve classes of them (our proposal, requirements 1.5)."""

from dataclasses import dataclass
from functools import cached_property

from bureau import catalogue
from bureau.indicators.facts import Rule

CLASSES = {
    1: ("基本情况", "Basics"),
    2: ("区域园区", "Region and park"),
    3: ("行业与产业链", "Industry and chain"),
    4: ("资质荣誉", "Qualifications and honours"),
    5: ("科技与知识产权", "Technology and intellectual property"),
    6: ("经营规模", "Scale of business"),
    7: ("成长性", "Growth"),
    8: ("用能", "Energy use"),
    9: ("用工", "Employment"),
    10: ("融资与担保", "Financing and guarantees"),
    11: ("风险", "Risk"),
    12: ("进出口与股权投融资", "Trade and equity"),
}


@dataclass(frozen=True)
class Indicator:
    """One indicator. `type`: number, integer, boolean, category or date; `direction`: which way is better."""

    code: str
    number: int  # its class, 1-12
    name: str
    name_en: str
    type: str
    unit: str
    direction: str
    rule: Rule

    @cached_property
    def source_classes(self) -> tuple[int, ...]:
        """The catalogue's classes of what it reads."""
        known = catalogue.current()
        return tuple(sorted({known.datasets[known.items[item].dataset].class_number for item in self.rule.items}))
