# SPDX-License-Identifier: Apache-2.0
"""Disclosure: the one door through which facts about an enterprise leave the bureau.

`disclose(question, produce)` does, in this order, writing nothing before step 5:

    1. an Idempotency-Key that was spent leads to the answer it bought, if that may still be given
    2. the institution's standing, then the one consent that decides and the policy; any may refuse
    3. the vault opens the folios of the classes that are permitted, and no others
    4. `produce`, a pure function, makes the answer's bytes
    5. the entry is written, with the digest of exactly those bytes, and commits; where the consent or the policy
       sets a limit, the counter moves in the same transaction, and may still refuse
    6. only now the answer is returned, or the refusal raised

A refusal is an entry too. No committed entry, no answer: if step 5 fails in any way the caller gets 503 and no
data. A question linearises with a revocation at the statement of step 2 that reads the consents.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from access import institutions
from audit import trail, watch
from audit.events import Event
from bureau import directory, vault
from bureau.answers import Asked, Produced
from bureau.vault import Dossier
from consent import consents
from consent.decision import require_not_bound_elsewhere
from consent.question import CLASSES, Question
from kernel import ids
from kernel.auth import Institution, Principal
from kernel.errors import Gone, NotFound, NotPermitted
from kernel.idempotency import settle
from kernel.keys import Altered

SELF = "self"  # the purpose of an enterprise that reads its own dossier

Producer = Callable[[Asked, Dossier], Produced]


@dataclass(frozen=True, slots=True)
class Answer:
    """What the caller receives: the body's exact bytes and the entry that tells of them."""

    query_id: str
    body: bytes
    digest: bytes  # SHA-256 of `body`


@dataclass(frozen=True, slots=True)
class _Outcome:
    entry: trail.Entry
    answer: Answer | None = None
    refusal: NotPermitted | Altered | Gone | None = None


def disclose(question: Question, produce: Producer) -> Answer:
    """Answer a question, or refuse it; either way the entry has committed when this returns or raises.

    Raises NotPermitted with the rule that refused, Invalid for a USCC that cannot be or a reused key, Altered
    where a folio does not open, Unavailable (`audit-unavailable`) where the entry could not be written.
    """

    def attempt() -> _Outcome:
        # Without limits, the rule, the entry is all that is written; a counter needs a transaction around both.
        return _attempt(question, produce, counting=False) or _attempt(question, produce, counting=True)  # type: ignore[return-value]

    return _settled(settle(attempt))


def disclose_again(query_id: str, principal: Principal, produce: Producer) -> Answer:
    """Give an answer once more, to a client of the institution that asked, byte for byte (not billable).

    Raises NotFound, NotPermitted where the consent ended since, Gone where the bytes can no longer be made.
    """
    with trail.recording(only_the_entry=True) as tx:
        watch.require_kept(tx)
        earlier, asking = trail.find(tx, query_id), principal.institution
        if earlier is None or asking is None or not _is_answer_to(earlier, asking):
            raise NotFound(f"no answered question {query_id} of yours")
        again = {"actor": principal.actor, "client": principal.client}
        again |= {name: earlier[name] for name in ("operator", "reference")}
        outcome = _repeat(tx, earlier, asking, again, produce, principal.consent)
        trail.append(tx, outcome.entry)
    return _settled(outcome)


def disclose_to_self(principal: Principal, produce: Producer) -> Answer:
    """Give an enterprise its own dossier, all classes: it is entitled to it and needs no consent (条例 Art. 17).

    So also after collection ended. Steps 3 to 6; on record and in its access log like any question, not billable.
    """
    assert principal.uscc is not None, "the route lets signatories in, and no one else"
    said = _asked_of_self(principal, principal.uscc)
    with trail.recording(only_the_entry=True) as tx:
        watch.require_kept(tx)
        try:
            dossier = vault.open_dossier(tx, principal.uscc, CLASSES)
            body = produce(Asked(said["id"], principal.uscc, SELF, "records", None), dossier).body
            answer = Answer(said["id"], body, hashlib.sha256(body).digest())
            said |= {"publication": dossier.publication, "answer_digest": answer.digest.hex()}
            entry = trail.Entry(type=Event.QUERY_ANSWERED, outcome="answered", **said)
            outcome = _Outcome(entry, answer=answer)
        except Altered as refusal:
            outcome = _Outcome(_refused(refusal, said), refusal=refusal)
        trail.append(tx, outcome.entry)
    return _settled(outcome)


def _attempt(question: Question, produce: Producer, *, counting: bool) -> _Outcome | None:
    """Steps 1 to 5. None, and nothing done, where a limit is set and this is not a transaction to count in."""
    with trail.recording(only_the_entry=not counting) as tx:
        watch.require_kept(tx)
        asked = question.digest()
        earlier = trail.find_keyed(tx, question.actor, question.key, asked) if question.key else None
        if earlier is None:
            outcome = _decide(tx, question, produce, counting)
        else:
            outcome = _repeat(tx, earlier, question.asking, _asked(question), produce, question.bound_to)
        if outcome is not None:
            trail.append(tx, outcome.entry)
    return outcome


def _is_answer_to(earlier: dict[str, Any], asking: Institution) -> bool:
    return (earlier["type"], earlier.get("institution")) == (Event.QUERY_ANSWERED, asking.id)


def _decide(tx: Connection, question: Question, produce: Producer, counting: bool) -> _Outcome | None:
    """Steps 2 to 4 for a new question; raises Invalid where it is none (nothing is written then)."""
    directory.require_plausible(tx, question.uscc)
    query_id, said = ids.new_id(), _asked(question)
    try:
        institutions.require_standing(question.asking, question.purpose, question.product)
        permission = consents.require(tx, question)
        if permission.limits and not counting:
            return None
        consent = permission.consent
        said |= {"consent": consent.id, "consent_version": consent.version, "classes": permission.classes}
        dossier = vault.open_dossier(tx, question.uscc, permission.classes)
        since = permission.since.isoformat() if permission.since else None
        asked = Asked(query_id, question.uscc, question.purpose, question.product, consent.id, since)
        produced = produce(asked, dossier)
        if permission.limits:
            consents.count(tx, permission, question)
    except (NotPermitted, Altered) as refusal:
        return _Outcome(_refused(refusal, said | {"id": query_id}), refusal=refusal)
    digest = hashlib.sha256(produced.body).digest()
    entry = trail.Entry(
        type=Event.QUERY_ANSWERED,
        id=query_id,
        outcome="answered",
        publication=dossier.publication,
        answer_digest=digest.hex(),
        billable=produced.records > 0,
        idempotency_key=question.key,
        detail={"since": since} if since else None,
        **said,
    )
    return _Outcome(entry, answer=Answer(query_id, produced.body, digest))


def _repeat(
    tx: Connection,
    earlier: dict[str, Any],
    asking: Institution,
    again: dict[str, Any],
    produce: Producer,
    bound_to: str | None,
) -> _Outcome:
    """An earlier answer made again from the same publication, if standing and its own consent still allow it."""
    said = again | {name: earlier.get(name) for name in _CARRIED}
    said |= {"of": earlier["id"], "classes": tuple(earlier["classes"])}
    try:
        institutions.require_standing(asking, earlier["purpose"], earlier["product"])
        require_not_bound_elsewhere(bound_to, earlier["consent"])
        consents.require_still(tx, earlier["consent"], earlier["purpose"])
        dossier = vault.open_dossier(tx, earlier["uscc"], earlier["classes"], earlier["publication"])
    except (NotPermitted, Altered) as refusal:
        return _Outcome(_refused(refusal, said), refusal=refusal)
    since = earlier.get("detail", {}).get("since")
    asked = Asked(earlier["id"], earlier["uscc"], earlier["purpose"], earlier["product"], earlier["consent"], since)
    body = produce(asked, dossier).body
    digest = hashlib.sha256(body).digest()
    if digest.hex() != earlier["answer_digest"]:
        gone = Gone("this answer can no longer be made as it was given: records were erased since", slug="answer-gone")
        return _Outcome(_refused(gone, said), refusal=gone)
    entry = trail.Entry(type=Event.QUERY_REPLAYED, outcome="answered", answer_digest=digest.hex(), **said)
    return _Outcome(entry, answer=Answer(earlier["id"], body, digest))


def _refused(refusal: NotPermitted | Altered | Gone, said: dict[str, Any]) -> trail.Entry:
    limit: dict[str, Any] = {name: refusal.extra[name] for name in ("rule", "limit") if name in refusal.extra}
    return trail.Entry(type=Event.QUERY_REFUSED, outcome="refused", rule=refusal.slug, detail=limit or None, **said)


def _settled(outcome: _Outcome) -> Answer:
    """Step 6."""
    if outcome.refusal is not None:
        raise outcome.refusal
    assert outcome.answer is not None
    return outcome.answer


def _asked(question: Question) -> dict[str, Any]:
    return {
        "actor": question.actor,
        "channel": question.channel,
        "client": question.client,
        "institution": question.asking.id,
        "institution_name": question.asking.name,
        "operator": question.operator,
        "reference": question.reference,
        "uscc": question.uscc,
        "purpose": question.purpose,
        "product": question.product,
        "classes": question.classes,
        "request_digest": question.digest(),
    }


def _asked_of_self(principal: Principal, uscc: str) -> dict[str, Any]:
    said = {"id": ids.new_id(), "actor": principal.actor, "operator": principal.person, "uscc": uscc}
    return said | {"purpose": SELF, "product": "records", "classes": CLASSES}


_CARRIED = (
    "institution",
    "institution_name",
    "uscc",
    "consent",
    "consent_version",
    "purpose",
    "product",
    "publication",
)
