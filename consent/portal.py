# SPDX-License-Identifier: Apache-2.0
"""The enterprise's own pages: requests that wait, its consents, and who asked about it."""

from typing import Any

from flask import Response, request

from access import browser
from audit import review, trail
from consent import consents, faults, screens, store, words
from consent.acts import Act
from consent.guards import require_visible
from consent.pages import SIGNATORY, show
from consent.routes import Change
from consent.words import Words, say
from kernel import clock, cursors, db, pages
from kernel.errors import Conflict, Invalid

blp = pages.Pages("portal", __name__, faults.told)
ROWS = 20
ACTS: dict[str, Change] = {"revoke": consents.revoke, "pause": consents.pause, "resume": consents.resume}


@blp.page("/enterprise/requests", access=SIGNATORY)
def show_inbox() -> Response:
    """Requests that wait for an answer, newest first; what lapsed is no longer among them."""
    by, language = browser.signatory(), pages.language()
    with db.reading() as reading:
        page = store.listed(reading, clock.now(), uscc=by.uscc, status="requested", limit=cursors.MAX_PAGE_ROWS)
        waiting = [screens.described(reading, each, language) for each in page if each["status"] == "requested"]
    return show("inbox.html", by, tab="requests", waiting=waiting)


@blp.page("/enterprise/consents", access=SIGNATORY)
def show_consents() -> Response:
    """All consents, newest first, but for the requests that wait."""
    by, language = browser.signatory(), pages.language()
    before = _before()
    with db.reading() as reading:
        page = store.listed(reading, clock.now(), uscc=by.uscc, before=before, limit=ROWS)
        shown = [screens.described(reading, each, language) for each in page if each["status"] != "requested"]
    following = cursors.encode(page[-1]["consent_id"]) if len(page) == ROWS else None
    return show("consents.html", by, tab="consents", consents=shown, following=following)


@blp.page("/enterprise/consents/<consent_id>", access=SIGNATORY)
def show_consent(consent_id: str) -> Response:
    """One consent with all its versions, and what can be done with it."""
    by, language = browser.signatory(), pages.language()
    with db.reading() as reading:
        held = store.get(reading, consent_id)
        require_visible(held, reading)
        shown = screens.described(reading, store.shown(reading, held, clock.now()), language)
        versions = [
            (say(words.STATUSES[each["status"]], language), screens.time_of(each["changed_at"], language))
            for each in store.history(reading, consent_id)
        ]
    sure = say(words.FIELDS["sure"], language)
    return show("consent_page.html", by, tab="consents", consent=shown, versions=versions, sure=sure)


@blp.page("/enterprise/consents/<consent_id>", methods=("POST",), access=SIGNATORY)
def change_consent(consent_id: str) -> Response:
    """Revoke, pause or resume a consent."""
    by = browser.signatory()
    browser.require_form()
    change = _change()
    try:
        with trail.recording() as tx:
            require_visible(store.get(tx, consent_id), tx)
            change(tx, consent_id, Act(by.actor, channel="page"), None)
    except Conflict as refused:
        return blp.show_problem(refused, f"/enterprise/consents/{consent_id}")
    return pages.lead(f"/enterprise/consents/{consent_id}")


def _change() -> Change:
    """What the form says to do; raises Invalid."""
    change = ACTS.get(request.form.get("act", ""))
    if change is None:
        raise Invalid("say what to do", errors={"act": [", ".join(ACTS)]})
    if change is consents.revoke and request.form.get("sure") != "yes":
        raise Invalid("what is revoked stays so: say that you are sure", errors={"sure": ["tick it"]})
    return change


@blp.page("/enterprise/access-log", access=SIGNATORY)
def show_access_log() -> Response:
    """Who asked about the enterprise, newest first, refusals and replays included."""
    by, language = browser.signatory(), pages.language()
    before = _before()
    with db.reading() as reading:
        page, last = review.access_log(reading, by.uscc or "", before, ROWS)
    lines = [_line(each, language) for each in page]
    return show("access_log.html", by, tab="log", lines=lines, following=cursors.encode(last) if last else None)


def _before() -> str | None:
    """Behind whom a list goes on; a link that was mangled on its way begins with the first page."""
    try:
        return cursors.decode(request.args.get("cursor"))
    except Invalid:
        return None


def _line(entry: dict[str, Any], language: str) -> dict[str, Any]:
    def named(known: Any, value: Any) -> str:
        return say(known[value], language) if value in known else str(value or "")

    day, _, hour = (screens.time_of(entry["time"], language) or "").rpartition(" ")
    outcome = OUTCOMES.get(entry["type"], {}).get(entry["outcome"] or "", Words(entry["type"], entry["type"]))
    return {
        "day": day,
        "hour": hour,
        "institution": entry["institution_name"] or say(Words("本企业或征信机构", "Ourselves or the bureau"), language),
        "purpose": named(words.PURPOSES, entry["purpose"]),
        "classes": [named(words.CLASSES, number) for number in entry["classes"] or ()],
        "outcome": say(outcome, language),
        "refused": entry["outcome"] == "refused",
        "reason": named(words.REASONS, entry["reason"]),
        "number": entry["query_id"],
    }


_ANSWERED, _REFUSED = Words("已提供", "Answered"), Words("已拒绝", "Refused")
OUTCOMES: dict[str, dict[str, Words]] = {
    "query.answered": {"answered": _ANSWERED},
    "query.refused": {"refused": _REFUSED},
    "query.replayed": {"answered": Words("再次提供", "Answered again")},
    "screening.answered": {"answered": Words("在筛选结果中", "Among the results of a screening")},
    "screening.replayed": {"answered": Words("在筛选结果中（再次）", "Among the results of a screening, again")},
    "staff.viewed": {"answered": Words("征信机构工作人员查看", "Looked at by the bureau's staff")},
}
