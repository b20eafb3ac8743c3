# SPDX-License-Identifier: Apache-2.0
"""A frozen statement, recounted offline from an export by whoever doubts it. Reads files only.

It needs the statement as it was served, an export of its leaves with its proof, the bureau's public keys
(/oauth/jwks) and the log's. What is checked: the statement is signed; the export is whole and makes the very root
that the statement names; counting its entries gives every figure of the statement, to the fen.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import orjson

from audit import exported, rewards
from audit.notes import BadNote, Verifier
from audit.rewards import Part, Tariff
from audit.trust import NO_QUORUM, Policy
from kernel import canonical, signing


def check(
    content: bytes,
    public: list[dict[str, Any]],
    taken: Path,
    proof: str,
    known: Iterable[Verifier],
    policy: Policy = NO_QUORUM,
) -> dict[str, Any]:
    """The statement or supplement, once everything that it says is proved. Raises BadNote saying what is not.

    `taken` is the export; memory stays flat whatever its size.
    """
    document = _signed(content, public)
    checked = exported.check(_lines(taken), proof, known, policy)
    first, last = document["leaf_from"], document["leaf_to"]
    if checked.lines != checked.last - checked.first:
        raise BadNote("the export leaves leaves out: take it without filters")
    if checked.first > first or checked.last != last:
        raise BadNote(f"the export holds other leaves: take it with --from {first} --to {last}")
    if checked.root.hex() != document["root"]:
        raise BadNote("the statement names another root than that of the leaves exported")
    if checked.without_bytes:
        raise BadNote(f"{checked.without_bytes} entries are past their retention: an older export is needed")
    told = {name: value for name, value in document.items() if name not in _NOT_COUNTED}
    for name, counted in _counted(document, taken).items():
        if told.pop(name) != counted:
            raise BadNote(f"{name}: the statement says {document[name]}, and the entries give {counted}")
    if told:
        raise BadNote(f"the statement says what no entry can: {', '.join(sorted(told))}")
    return document


def _signed(content: bytes, public: list[dict[str, Any]]) -> dict[str, Any]:
    try:
        document = orjson.loads(content)
        signature = document.pop("signature")
        whole = {name: document[name] for name in _NEEDED} and document
    except (orjson.JSONDecodeError, AttributeError, KeyError) as error:
        raise BadNote("not a reward statement, as GET /v1/reward-statements/{year} gives it") from error
    if signature is None:
        raise BadNote("the statement is provisional: nobody signed it")
    if not signing.is_signed(str(signature), canonical.encode(whole), public):
        raise BadNote("the statement is not what was signed: none of these keys' signatures is over it")
    return dict(whole)


def _counted(document: dict[str, Any], taken: Path) -> dict[str, Any]:
    def parts() -> Iterable[Part]:
        leaves = ((line.place, line.content) for _, line in exported.read(_lines(taken)) if line.content)
        return rewards.in_parts(document["year"], rewards.read(leaves))

    tally = rewards.tallied(document["year"], parts)
    tariff = Tariff(document["tariff"], document["rate_fen"], document["cap_fen"])
    places = {"leaf_from": tally.leaf_from, "leaf_to": tally.leaf_to} if tally.leaf_from is not None else {}
    return rewards.stated(tally, tariff) | places


def _lines(taken: Path) -> Iterator[bytes]:
    with taken.open("rb") as lines:
        yield from lines


_NEEDED = ("year", "leaf_from", "leaf_to", "root", "tariff", "rate_fen", "cap_fen")
_NOT_COUNTED = ("root", "origin", "final", "number", "frozen_at", "difference_fen")
