# SPDX-License-Identifier: Apache-2.0
"""The unified social credit code (统一社会信用代码, GB 32100-2015): 18 symbols that name an enterprise.

    9 1 3 2 0 5 0 0 M A 1 X Y 8 0 1 4 D
    │ │ └division─┘ └ organisation ─┘ └ outer check symbol, over positions 1-17, mod 31
    │ └ kind of body  code; its last symbol is the inner check (GB 11714, mod 11)
    └ registering authority

What the outer check finds: 31 is prime, there are 31 symbols and no weight is 0, so *every* change of one
symbol is found; the weights of positions 1-17 differ from one another, so every exchange of two different
symbols is found too, except between the first and the last, which weigh the same. The inner check has 36
symbols mod 11 and finds less (0, B and M count alike); it is a function of its own and no part of `is_valid`.
Letters are capital; nothing is folded.
"""

import re
from operator import mul

SYMBOLS = "0123456789ABCDEFGHJKLMNPQRTUWXY"

_PATTERN = re.compile(r"[0-9A-HJ-NPQRTUWXY]{2}[0-9]{6}[0-9A-HJ-NPQRTUWXY]{10}")
_ORGANISATION_PATTERN = re.compile(r"[0-9A-Z]{8}[0-9X]")

# 3^(i-1) mod 31 for positions 1-17; position 18 counts once, so that a valid code sums to 0.
_WEIGHTS = (*(pow(3, place, 31) for place in range(17)), 1)
_ORGANISATION_WEIGHTS = (3, 7, 9, 10, 5, 8, 4, 2)

# ASCII code → value of the symbol; what is outside the alphabet the pattern has refused before.
_VALUES = bytes(max(SYMBOLS.find(chr(code)), 0) for code in range(256))


def is_valid(code: str) -> bool:
    """Whether `code` has the pattern of GB 32100-2015 and its outer check symbol is right."""
    if _PATTERN.fullmatch(code) is None:
        return False
    return _weigh(code) % 31 == 0


def has_pattern(code: str) -> bool:
    """Whether `code` has the right symbols in the right places, whatever its check symbol says.

    Some early legal codes have the pattern and a wrong check symbol; a lenient feed accepts those.
    """
    return _PATTERN.fullmatch(code) is not None


def check_symbol(first17: str) -> str:
    """Give the 18th symbol that belongs to the first 17 (GB 32100-2015: (31 − Σ Cᵢ·Wᵢ mod 31) mod 31).

    Raises `ValueError` where the 17 symbols do not have the pattern.
    """
    if _PATTERN.fullmatch(first17 + "0") is None:
        raise ValueError("expected the first 17 symbols of a unified social credit code")
    return SYMBOLS[-_weigh(first17) % 31]


def division(code: str) -> str:
    """Give positions 3-8, the registering authority's GB/T 2260 division; `code` must have the pattern."""
    return code[2:8]


def organisation_code(code: str) -> str:
    """Give positions 9-17, the nine-symbol organisation code (组织机构代码); `code` must have the pattern."""
    return code[8:17]


def organisation_code_is_valid(nine: str) -> bool:
    """Whether nine symbols, no hyphen among them, are an organisation code with its right check (GB 11714).

    The check is 11 − Σ Cᵢ·Wᵢ mod 11, where 10 is written X and 11 is written 0.
    """
    if _ORGANISATION_PATTERN.fullmatch(nine) is None:
        return False
    remainder = -sum(map(mul, (int(symbol, 36) for symbol in nine[:8]), _ORGANISATION_WEIGHTS)) % 11
    return nine[8] == "0123456789X"[remainder]


def _weigh(code: str) -> int:
    return sum(map(mul, code.encode("ascii").translate(_VALUES), _WEIGHTS))
