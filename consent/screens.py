# SPDX-License-Identifier: Apache-2.0
"""What pages say of a consent, in the reader's language; and what a form that answers one says."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

from marshmallow import EXCLUDE, Schema, ValidationError, fields, validate, validates_schema
from sqlalchemy import Connection

from access import institutions
from consent import words
from consent.decision import Consent
from consent.question import CLASSES, PRODUCTS, PURPOSES
from consent.schemas import faults_of, some_of
from consent.store import Given
from consent.terms import PERIODS, Frequency
from consent.words import Words, say
from kernel import canonical, clock
from kernel.errors import Invalid, NotFound

Names = Callable[[Connection, str], str | None]


@dataclass(frozen=True, slots=True)
class Choice:
    """A thing that can be ticked: its value in the form, its name."""

    value: str
    name: str


@dataclass(frozen=True, slots=True)
class Shown:
    """A consent as pages show it."""

    id: str
    status: str
    status_name: str
    scope: str
    grantee: str
    grantee_kind: str
    classes: tuple[Choice, ...]
    purposes: tuple[Choice, ...]
    products: tuple[Choice, ...]
    begins: str
    ends: str | None
    first_day: str
    last_day: str | None
    max_queries: int | None
    limits: tuple[str, ...]
    frequency: int | None
    periods: tuple[Choice, ...]  # that the frequency can be of: the one that is set, else all
    history: int | None
    granted: str | None
    lapses: str | None


class NarrowingSchema(Schema):
    """A form's fields, as browsers send them; what was not ticked is not there."""

    class Meta:
        unknown = EXCLUDE

    classes = fields.List(
        fields.Integer(validate=validate.OneOf(CLASSES)), required=True, validate=validate.Length(1, len(CLASSES))
    )
    purposes = fields.List(fields.String(), required=True, validate=some_of(PURPOSES))
    products = fields.List(fields.String(), required=True, validate=some_of(PRODUCTS))
    until = fields.Date(format="iso", validate=validate.Range(date(2000, 1, 1), date(2999, 12, 31)))
    max_queries = fields.Integer(validate=validate.Range(1, 1_000_000))
    frequency = fields.Integer(validate=validate.Range(1, 1_000_000))
    per = fields.String(validate=validate.OneOf(PERIODS))
    history = fields.Integer(validate=validate.Range(1, 600))

    @validates_schema
    def _require_period(self, form: dict[str, Any], **more: Any) -> None:
        if "frequency" in form and "per" not in form:
            raise ValidationError({"per": [f"one of {', '.join(PERIODS)}"]})


def use_names(find: Names) -> None:
    """Have pages name enterprises as the directory does, which this room does not know. `app` plugs it in."""
    global _names
    _names = find


def enterprise_name(reading: Connection, uscc: str) -> str | None:
    return _names(reading, uscc)


def described(reading: Connection, consent: Mapping[str, Any], language: str) -> Shown:
    """A consent as `consent.store` shows it, in words."""
    begins, ends = _instant(consent["not_before"]), _instant(consent["expires_at"])
    assert begins is not None
    grantee, kind = _grantee(reading, consent["scope"], consent["grantee"], language)
    now, frequency = clock.now(), consent["frequency"]
    return Shown(
        id=consent["consent_id"],
        status=consent["status"],
        status_name=say(words.STATUSES[consent["status"]], language),
        scope=consent["scope"],
        grantee=grantee,
        grantee_kind=kind,
        classes=_choices(words.CLASSES, consent["classes"], language),
        purposes=_choices(words.PURPOSES, consent["purposes"], language),
        products=_choices(words.PRODUCTS, consent["products"], language),
        begins=day_in_words(clock.legal_day(begins), language),
        ends=day_in_words(_last_day(ends), language) if ends else None,
        first_day=clock.legal_day(max(begins, now)).isoformat(),
        last_day=_last_day(ends).isoformat() if ends else None,
        max_queries=consent["max_queries"],
        limits=tuple(words.limits(consent, language)),
        frequency=frequency["count"] if frequency else None,
        periods=_choices(words.EACH, [frequency["per"]] if frequency else list(PERIODS), language),
        history=consent["history"]["months"] if consent["history"] else None,
        granted=time_of(consent["granted_at"], language),
        lapses=time_of(consent["lapses_at"], language),
    )


def narrowed(form: Any, asked: Consent) -> dict[str, Any]:
    """What a form leaves of a request: the terms for `requests.approve`. Raises Invalid naming the fields."""
    single = {name: form[name] for name in ("until", "max_queries", "frequency", "per", "history") if form.get(name)}
    lists = {name: form.getlist(name) for name in ("classes", "purposes", "products") if name in form}
    try:
        terms: dict[str, Any] = NarrowingSchema().load(single | lists)
    except ValidationError as error:
        raise Invalid("the form is not filled in right", errors=faults_of(error)) from error
    until, per = terms.pop("until", None), terms.pop("per", "")
    if "frequency" in terms:
        terms["frequency"] = Frequency(terms["frequency"], per)
    if "history" in terms:
        terms["history_months"] = terms.pop("history")
    if until is not None and (asked.expires_at is None or until != _last_day(asked.expires_at)):
        terms["expires_at"] = datetime.combine(until + timedelta(days=1), time(), clock.SHANGHAI)
    return terms


def given_on_page(username: str, language: str) -> Given:
    """What proves a consent that was given on a page: who, how, and the notice that the page showed."""
    told = [say(each, language) for each in words.NOTICE]
    tag = "en" if language == "en" else "zh-CN"
    notice = {"version": words.NOTICE_VERSION, "sha256": canonical.digest(told), "language": tag}
    return Given(notice, {"channel": "page", "method": "session", "signatory": username})


def day_in_words(day: date, language: str) -> str:
    return f"{day.day} {day:%b %Y}" if language == "en" else f"{day.year}年{day.month}月{day.day}日"


def time_of(text: str | None, language: str) -> str | None:
    """An RFC 3339 instant in words, to the minute, Asia/Shanghai."""
    instant = _instant(text)
    local = instant.astimezone(clock.SHANGHAI) if instant else None
    return f"{day_in_words(local.date(), language)} {local:%H:%M}" if local else None


def _last_day(ends: datetime) -> date:
    """The last day of which a consent holds at least a moment."""
    return clock.legal_day(ends - timedelta(microseconds=1))


def _choices(names: Mapping[Any, Words], values: list[Any], language: str) -> tuple[Choice, ...]:
    return tuple(Choice(str(value), say(names[value], language)) for value in values)


def _grantee(reading: Connection, scope: str, grantee: str, language: str) -> tuple[str, str]:
    """The name of who may ask, and what kind of thing it is."""
    if scope == "collect":
        return say(Words("征信机构", "The bureau"), language), ""
    if grantee == "platform":
        return say(Words("平台全部接入机构", "All institutions on the platform"), language), ""
    if grantee.startswith("kind:"):
        kind = words.KINDS[grantee.removeprefix("kind:")]
        return say(Words(f"全部{kind.zh}", f"Every institution of the kind: {kind.en}"), language), ""
    try:
        known = institutions.get(reading, grantee)
    except NotFound:
        return grantee, ""
    return known.name, say(words.KINDS[known.kind], language)


def _instant(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text is not None else None


_names: Names = lambda reading, uscc: None  # noqa: E731
