# SPDX-License-Identifier: Apache-2.0
"""One consent decides: the pure rule by which a question is allowed or refused (design section 5).

Of the consents that name the institution, else its kind, else the whole platform, the most specific decides
alone, whatever its state. A revoked or expired one refuses until a new grant: nothing falls through to a wider
consent, and nothing is united. The classes asked for must lie within it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime

from consent.policy import Policy, Rules
from consent.question import Question
from consent.terms import Frequency, months_before
from kernel import auth, clock
from kernel.errors import NotPermitted


@dataclass(frozen=True, slots=True)
class Consent:
    """A consent as it stands, in what decides. `expires_at` None is open-ended (长期)."""

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
    granted_at: datetime | None  # None as long as it is only requested
    changed_at: datetime
    max_queries: int | None = None
    frequency: Frequency | None = None
    history_months: int | None = None
    suspended_from: str | None = None  # the status to which it returns
    lapses_at: datetime | None = None  # of a request

    def status_at(self, now: datetime) -> str:
        """The status with what the clock adds: `expired` past its end, `lapsed` for a request unanswered."""
        if self.status == "requested":
            return "lapsed" if self.lapses_at is not None and self.lapses_at <= now else "requested"
        ended = self.status in ("active", "paused", "suspended") and self.expires_at is not None
        return "expired" if ended and self.expires_at is not None and self.expires_at <= now else self.status


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `most` answers in `period`, which is part of the counter's name; `rule` is who says so."""

    period: str
    most: int
    rule: str


@dataclass(frozen=True, slots=True)
class Permission:
    """What the deciding consent and the policy allow the question."""

    consent: Consent
    classes: tuple[int, ...]  # those asked for, else all that both allow
    since: date | None  # records of earlier events are left out
    limits: tuple[Limit, ...]  # what is counted; mostly nothing


def grantees_of(asking: auth.Institution) -> tuple[str, str, str]:
    """How a consent may name an institution, the most specific first."""
    return asking.id, f"kind:{asking.kind}", "platform"


def decide(candidates: Iterable[Consent], question: Question, now: datetime, policy: Policy) -> Permission:
    """What is permitted; else raises NotPermitted whose slug is the rule that refused.

    `candidates` are the deciding consents of the enterprise: at most one of each grantee, and the collect
    consent if it ever gave one.
    """
    found = {(consent.scope, consent.grantee): consent for consent in candidates}
    require_collection_not_ended(found.get(("collect", "platform")), now)
    queries = (found.get(("query", grantee)) for grantee in grantees_of(question.asking))
    consent = next((each for each in queries if each is not None), None)
    if consent is None:
        raise NotPermitted("the enterprise has not given consent: ask it for one", slug="no-consent")
    require_not_bound_elsewhere(question.bound_to, consent.id)
    require_live(consent, now)
    require_covered(consent, question)
    rules = policy.purposes[question.purpose]
    require_within(consent, rules, now)
    require_allowed(rules, question, consent)
    return Permission(
        consent,
        question.classes or tuple(number for number in consent.classes if number in rules.classes),
        _since(consent, rules, now),
        _limits(consent, rules, now),
    )


def require_collection_not_ended(collect: Consent | None, now: datetime) -> None:
    """After the enterprise ended collection no product opens its dossier (the form's clause 6).

    To pause it is not to end it: nothing new is gathered meanwhile, and what is on file is the query consent's.
    """
    if collect is not None and collect.status_at(now) not in ("active", "paused"):
        raise NotPermitted("the enterprise has ended the bureau's collection", slug="no-consent")


def require_not_bound_elsewhere(bound_to: str | None, consent_id: str) -> None:
    """Raise NotPermitted (`other-consent`) where the caller's token is good for another consent than this."""
    if bound_to not in (None, consent_id):
        raise NotPermitted("the token is good for another consent than the one that decides", slug="other-consent")


def require_live(consent: Consent, now: datetime) -> None:
    """Raise NotPermitted unless the consent is in force at `now`."""
    status = consent.status_at(now)
    if status in _NOT_LIVE:
        slug, told = _NOT_LIVE[status]
        raise NotPermitted(told, slug=slug)
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
        raise NotPermitted(f"the consent does not cover class {_named(outside)}", slug="class-not-covered")


def require_within(consent: Consent, rules: Rules, now: datetime) -> None:
    """Raise NotPermitted where the policy holds a consent for older than its purpose allows."""
    if consent.not_before + rules.longest_validity <= now:
        told = f"the consent is older than {rules.longest_validity.days} days, the most for {rules.purpose}"
        raise _by_policy("consent-expired", told, rules, "longest_validity_days", rules.longest_validity.days)


def require_allowed(rules: Rules, question: Question, consent: Consent) -> None:
    """Raise NotPermitted where the policy does not allow a product or class for the purpose, or leaves no class."""
    if question.product not in rules.products:
        told = f"the bureau gives no {question.product} for {rules.purpose}"
        raise _by_policy("product-not-covered", told, rules, "products", ", ".join(rules.products))
    asked = set(question.classes or consent.classes)
    if outside := asked - set(rules.classes) if question.classes or asked.isdisjoint(rules.classes) else set():
        told = f"the bureau gives no class {_named(outside)} for {rules.purpose}"
        raise _by_policy("class-not-covered", told, rules, "classes", _named(set(rules.classes)))


def _since(consent: Consent, rules: Rules, now: datetime) -> date | None:
    months = [each for each in (consent.history_months, rules.widest_history_months) if each is not None]
    return months_before(clock.legal_day(now), min(months)) if months else None


def _limits(consent: Consent, rules: Rules, now: datetime) -> tuple[Limit, ...]:
    limits = []
    if consent.max_queries is not None:
        limits.append(Limit("all", consent.max_queries, "max_queries"))
    if consent.frequency is not None:
        limits.append(Limit(consent.frequency.period(now), consent.frequency.count, "frequency"))
    if (highest := rules.highest_frequency) is not None:
        limits.append(
            Limit(f"{rules.purpose}:{highest.period(now)}", highest.count, f"{rules.purpose}.highest_frequency")
        )
    return tuple(limits)


def _by_policy(slug: str, told: str, rules: Rules, key: str, limit: int | str) -> NotPermitted:
    return NotPermitted(f"{told} (the bureau's policy)", slug=slug, rule=f"{rules.purpose}.{key}", limit=limit)


def _named(numbers: set[int]) -> str:
    return ", ".join(str(number) for number in sorted(numbers))


_NOT_LIVE = {
    "expired": ("consent-expired", "the enterprise's consent has expired: ask it for a new one"),
    "paused": ("consent-paused", "the enterprise has paused its consent: ask it to resume"),
    "suspended": ("consent-suspended", "the bureau has suspended this consent while it looks into it"),
    "consumed": ("quota-exhausted", "all questions that the consent allowed were asked: ask for a new one"),
}
