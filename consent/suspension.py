# SPDX-License-Identifier: Apache-2.0
"""The bureau suspends a consent, or reinstates it: one member of the staff proposes, a second confirms.

A suspicion (a forged authorisation letter, a signatory who had left) must be able to stop disclosure, and no single
person at the bureau may do so, nor undo it.
"""

from dataclasses import replace
from datetime import timedelta

from sqlalchemy import Connection, delete, insert, select

from audit.events import Event
from consent import store
from consent.acts import Act, record
from consent.decision import Consent
from consent.models import consent_proposal as proposals
from consent.transitions import after
from kernel import clock
from kernel.errors import Conflict

PROPOSAL_LIFE = timedelta(days=3)  # a proposal that nobody confirms lapses
PROPOSED = {"suspend": Event.CONSENT_SUSPENSION_PROPOSED, "reinstate": Event.CONSENT_REINSTATEMENT_PROPOSED}
DONE = {"suspend": Event.CONSENT_SUSPENDED, "reinstate": Event.CONSENT_REINSTATED}


def propose_or_confirm(tx: Connection, consent_id: str, what: str, act: Act, reason: str | None) -> Consent:
    """The first person's call notes the proposal, a second person's carries it out. The caller commits.

    `what` is `suspend` or `reinstate`; the reason is the second person's, else the first one's. Returns the consent
    as it is then. Raises NotFound, Conflict from a state that does not allow it, Conflict (`second-person-needed`)
    where the proposer confirms his own proposal.
    """
    now, held = clock.now(), store.get(tx, consent_id, lock=True)
    after(held, what, now)  # refused from a state that does not allow it
    same = proposals.c.consent == consent_id, proposals.c.act == what
    open_since = now - PROPOSAL_LIFE
    proposed = tx.execute(select(proposals).where(*same, proposals.c.proposed_at > open_since)).one_or_none()
    if proposed is None:
        tx.execute(delete(proposals).where(*same))
        values = {"consent": consent_id, "act": what, "actor": act.actor, "reason": reason, "proposed_at": now}
        tx.execute(insert(proposals).values(**values))
        record(tx, PROPOSED[what], replace(held, reason=reason), act, None)
        return held
    if proposed.actor == act.actor:
        raise Conflict("you proposed this yourself: another person must confirm it", slug="second-person-needed")
    return _carry_out(tx, what, after(held, what, now, reason or proposed.reason), act)


def at_the_counter(what: str, tx: Connection, consent_id: str, act: Act, reason: str | None) -> Consent:
    """Carry it out at once: what the command line does needs no second person (design section 9)."""
    held = store.get(tx, consent_id, lock=True)
    return _carry_out(tx, what, after(held, what, clock.now(), reason), act)


def _carry_out(tx: Connection, what: str, changed: Consent, act: Act) -> Consent:
    tx.execute(delete(proposals).where(proposals.c.consent == changed.id))
    record(tx, DONE[what], changed, act, store.change(tx, changed))
    return changed
