# SPDX-License-Identifier: Apache-2.0
"""One consent decides: the pure rule by which a question is allowed or refused (design section 5).

Of the consents that name the institution, else its kind, else the whole platform, the most specific decides
alone, whatever its state. A revoked or expired one refuses until a new grant: nothing falls through to a wider
consent, and nothing is united. The classes asked for must lie within it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from consent.question import Question
from kernel import auth
from kernel.errors import NotPermitted


@dataclass(frozen=True, slots=True)
class Consent:
    """A consent as it stands. `expires_at` None is open-ended (长期)."""

    id: str
    version: int
    uscc: str
    scope: str
    grantee: str
    classes: tuple[int, ...]
    products: tuple[str, ...]
    purposes: tuple[str, ...]
    not_before: datetime
    expires_at: datetime | None
    status: str
    reason: str | None
    granted_at: datetime
    changed_at: datetime

    def status_at(self, now: datetime) -> str:
        """The status with what the clock adds: an active consent past its end is `expired`."""
        ended = self.status == "active" and self.expires_at is not None and self.expires_at <= now
        return "expired" if ended else self.status


def grantees_of(asking: auth.Institution) -> tuple[str, str, str]:
    """How a consent may name an institution, the most specific first."""
    return asking.id, f"kind:{asking.kind}", "platform"


def decide(candidates: Iterable[Consent], question: Question, now: datetime) -> Consent:
    """The consent that allows the question; else raises NotPermitted whose slug is the rule that refused.

    `candidates` are the deciding consents of the enterprise: at most one of each grantee, and the collect
    consent if it ever gave one.
    """
    found = {(consent.scope, consent.grantee): consent for consent in candidates}
    require_collection_not_ended(found.get(("collect", "platform")), now)
    queries = (found.get(("query", grantee)) for grantee in grantees_of(question.asking))
    consent = next((each for each in queries if each is not None), None)
    if consent is None:
        raise NotPermitted("the enterprise has not given consent: ask it for one", slug="no-consent")
    require_live(consent, now)
    require_covered(consent, question)
    return consent


def require_collection_not_ended(collect: Consent | None, now: datetime) -> None:
    """After the enterprise ended collection no product opens its dossier (the form's clause 6)."""
    if collect is not None and collect.status_at(now) != "active":
        raise NotPermitted("the enterprise has ended the bureau's collection", slug="no-consent")


def require_live(consent: Consent, now: datetime) -> None:
    """Raise NotPermitted unless the consent is in force at `now`."""
    status = consent.status_at(now)
    if status == "expired":
        raise NotPermitted("the enterprise's consent has expired: ask it for a new one", slug="consent-expired")
    if status != "active":
        raise NotPermitted(f"the enterprise's consent is {status}: ask it for a new one", slug="no-consent")
    if consent.not_before > now:
        raise NotPermitted("the enterprise's consent is not yet in force", slug="no-consent")


def require_covered(consent: Consent, question: Question) -> None:
    """Raise NotPermitted unless purpose, product and classes all lie within the consent."""
    if question.purpose not in consent.purposes:
        raise NotPermitted(f"the consent does not cover the purpose {question.purpose}", slug="purpose-not-covered")
    if question.product not in consent.products:
        raise NotPermitted(f"the consent does not cover the product {question.product}", slug="product-not-covered")
    if outside := set(question.classes or ()) - set(consent.classes):
        named = ", ".join(str(number) for number in sorted(outside))
        raise NotPermitted(f"the consent does not cover class {named}", slug="class-not-covered")
