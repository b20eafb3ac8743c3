# SPDX-License-Identifier: Apache-2.0
"""The edge of pages for people: Chinese first, English second; no script, and nothing from outside.

Pages are no part of the API: they take no bearer token, their errors are pages, and the OpenAPI document does not
list them. Each is under a Content-Security-Policy that allows our own style sheet and image, and forms that lead
back here (and, where the page says so, to one more origin, because browsers hold redirects after a form to it too).
"""

import hashlib
from collections.abc import Callable
from functools import cache, wraps
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import flask
from flask import Response, current_app, g, make_response, redirect, render_template, request
from jinja2 import StrictUndefined
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from kernel import headers, problems
from kernel.errors import BureauError, Invalid, NotFound, Unauthenticated, Unavailable

HOME = Path(__file__).parent
LANGUAGES = ("zh", "en")
SIGN_IN = "/sign-in"  # where a page leads whoever has not signed in
LANGUAGE_KEPT_S = 365 * 86_400
KEPT = ("then", "cursor")  # what a switch of the language and a way back keep of a page's parameters
Faults = Callable[[BureauError, str], list[tuple[str, str]]]  # an error, a language → field, what it takes
FILES = {"pages.css": "text/css; charset=utf-8", "mark.svg": "image/svg+xml"}


class Pages(flask.Blueprint):
    """A blueprint of pages. What their templates are called must be unique in the house.

    `faults` says what is wrong with which fields of its forms, in the reader's words.
    """

    def __init__(self, name: str, import_name: str, faults: Faults = lambda error, language: []) -> None:
        super().__init__(name, import_name, template_folder="templates")
        self.faults = faults
        self.shown_at: set[str] = set()  # the rules of pages that can be gone back to

    def page(
        self, rule: str, *, methods: tuple[str, ...] = ("GET",), access: str = "anyone"
    ) -> Callable[[Callable[..., Response]], Callable[..., Response]]:
        """A page, or what a form on one leads to; `access` says who may, for the matrix of routes.

        An error is shown as a page; whoever must sign in first is led there. Where a form can be mended or sent once
        more, one goes back to the page that it is on.
        """
        if "GET" in methods:
            self.shown_at.add(rule)

        def decorate(view: Callable[..., Response]) -> Callable[..., Response]:
            @wraps(view)
            def shown(**places: str) -> Response:
                try:
                    return view(**places)
                except Unauthenticated:
                    return lead(SIGN_IN)
                except BureauError as error:
                    again = isinstance(error, Invalid | Unavailable) or error.slug == "form-expired"
                    return self.show_problem(error, self._back(rule) if again else "/")
                except (DBAPIError, PoolTimeout) as error:
                    problems.log_database_failure(error)
                    refused = Unavailable("the database did not answer; nothing was done: try again")
                    return self.show_problem(refused, self._back(rule))

            shown.page = access  # type: ignore[attr-defined]
            self.add_url_rule(rule, view.__name__, shown, methods=list(methods))
            return view

        return decorate

    def show_problem(self, error: BureauError, onward: str = "/") -> Response:
        """An error as a page, with what to do about it and where to go on."""
        words = problems.words()
        title, told = words.get(error.slug, words["unknown"])
        response = show(
            "problem.html",
            problems.status_of(error),
            title=title,
            told=told,
            faults=self.faults(error, language()),
            number=headers.request_id(),
            slug=error.slug,
            onward=onward,
        )
        if (wait := getattr(error, "retry_after_s", None)) is not None:
            response.headers["Retry-After"] = str(wait)
        return response

    def _back(self, rule: str) -> str:
        """From what a form led to, the page that the form is on."""
        return _here() if request.method == "POST" and rule in self.shown_at else "/"


blp = Pages("edge", __name__)


@blp.page("/pages/<name>")
def show_file(name: str) -> Response:
    """The style sheet and the mark, ours."""
    if name not in FILES:
        raise NotFound("there is no such file")
    response = Response(_file(name), content_type=FILES[name])
    response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
    return response


def install(app: flask.Flask) -> None:
    """Let an app show pages."""
    app.jinja_env.undefined = StrictUndefined
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.register_blueprint(blp)


def show(template: str, status: int = 200, *, leads_to: str = "", **values: Any) -> Response:
    """A page from a template, in the reader's language; `leads_to` is an origin that its form may end at."""
    spoken = language()

    def t(zh: str, en: str) -> str:
        return en if spoken == "en" else zh

    switches = {code: _here(lang=code) for code in LANGUAGES}
    seen = {"lang": spoken, "t": t, "version": _version(), "switches": switches, "path": request.path, **values}
    response = make_response(render_template(template, **seen), status)
    response.headers["Content-Security-Policy"] = (
        f"default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'{leads_to and ' ' + leads_to}; "
        "frame-ancestors 'none'; base-uri 'none'"
    )
    response.headers["X-Frame-Options"] = "DENY"  # for browsers that know no frame-ancestors
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
    response.headers["Vary"] = "Accept-Language, Cookie"
    if request.args.get("lang") in LANGUAGES:
        set_cookie(response, "lang", spoken, LANGUAGE_KEPT_S)
    return response


def lead(place: str) -> Response:
    """A redirect after which the browser asks with GET (303)."""
    response = redirect(place, 303)
    response.headers["Referrer-Policy"] = "no-referrer"
    return response  # type: ignore[return-value]


def language() -> str:
    """`zh` or `en`: as switched to, else as the browser prefers, else Chinese."""
    if "language" not in g:
        switched = request.args.get("lang") or cookie("lang")
        preferred = request.accept_languages.best_match(LANGUAGES, default="zh")
        g.language = switched if switched in LANGUAGES else preferred
    return str(g.language)


def cookie(name: str) -> str | None:
    """The value of one of our cookies."""
    return request.cookies.get(_cookie_name(name))


def set_cookie(response: Response, name: str, value: str, life_s: int | None = None) -> None:
    """Keep a value in the browser, for this host alone (RFC 6265bis `__Host-`), out of reach of scripts."""
    secure = _is_https()
    response.set_cookie(
        _cookie_name(name), value, max_age=life_s, secure=secure, httponly=True, samesite="Lax", path="/"
    )


def drop_cookie(response: Response, name: str) -> None:
    response.delete_cookie(_cookie_name(name), secure=_is_https(), httponly=True, samesite="Lax", path="/")


def _here(**more: str) -> str:
    """The present page, with those of its parameters that are kept."""
    kept = {name: request.values[name] for name in KEPT if name in request.values} | more
    return f"{request.path}?{urlencode(kept)}" if kept else request.path


def _is_https() -> bool:
    return str(current_app.config["BUREAU_PUBLIC_URL"]).startswith("https://")


def _cookie_name(name: str) -> str:
    return f"__Host-{name}" if _is_https() else name


@cache
def _file(name: str) -> bytes:
    return (HOME / "templates" / name).read_bytes()


@cache
def _version() -> str:
    """Changes with the files, which browsers keep for a year."""
    return hashlib.sha256(b"".join(map(_file, FILES))).hexdigest()[:12]
