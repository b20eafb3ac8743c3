# SPDX-License-Identifier: Apache-2.0
"""What all commands have in common: one JSON document, errors in one line, exit codes, lists of names.

Exit codes: 0 done, 1 the answer is no (refused, altered), 2 wrong use or something that cannot be done now.
"""

import errno
import gc
import json
import sys
from collections.abc import Callable, Mapping
from functools import wraps
from importlib import import_module
from typing import Any, ParamSpec, TypeVar

import click
from sqlalchemy.exc import DBAPIError, OperationalError, ProgrammingError

from app import config, logs
from app.opening import open_bureau
from consent.question import CLASSES
from kernel import keys
from kernel.errors import BureauError, Gone, NotPermitted, SettingError

P = ParamSpec("P")
R = TypeVar("R")

as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


class Numbers(click.ParamType[Any]):
    """A comma-separated list of class numbers."""

    name = "1,2,…"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        try:
            numbers = tuple(sorted({int(each) for each in value.split(",")}))
        except ValueError:
            numbers = ()
        if not numbers or set(numbers) - set(CLASSES):
            self.fail("give class numbers from 1 to 7, separated by commas", param, ctx)
        return numbers


class Names(click.ParamType[Any]):
    """A comma-separated list of known names."""

    name = "A,B,…"

    def __init__(self, known: tuple[str, ...]) -> None:
        self.known = known

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        names = tuple(sorted({each.strip() for each in value.split(",")}))
        if unknown := set(names) - set(self.known):
            self.fail(f"{', '.join(sorted(unknown))}: not one of {', '.join(self.known)}", param, ctx)
        return names


class Text(click.ParamType[Any]):
    """A text of 1 to `most` characters."""

    name = "text"

    def __init__(self, most: int) -> None:
        self.most = most

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(value)
        if not 1 <= len(text) <= self.most or not text.isprintable():
            self.fail(f"give 1 to {self.most} printable characters", param, ctx)
        return text


class WrongUse(click.ClickException):
    """Wrong use, said in one line as every other error is said."""

    exit_code = 2

    def show(self, file: Any = None) -> None:
        click.echo(f"bureau: {' '.join(self.message.split())}", file=file, err=True)


class Counter(click.Group):
    """Click's group, without its four lines about wrong use; its commands are imported when they are called."""

    places: Mapping[str, str] = {}  # a command's name, and the module that registers it

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(self.places)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        known = self.places.get(cmd_name)
        for module in (known,) if known else self.places.values():  # all of them to suggest what was meant
            import_module(module)
        return super().get_command(ctx, cmd_name)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except click.exceptions.NoArgsIsHelpError:
            raise
        except click.UsageError as error:
            raise WrongUse(error.format_message()) from error


@click.group(cls=Counter)
@click.version_option(package_name="credit-bureau")
def main() -> None:
    """The command line of a local enterprise credit bureau.

    Commands that print facts take --json: standard output is then one JSON document and nothing else.
    """


def command(group: click.Group, name: str, *, opens: bool = True) -> Callable[[Callable[P, R]], click.Command]:
    """A command that says its errors in one line, and opens the bureau first unless told not to."""

    def decorate(function: Callable[P, R]) -> click.Command:
        @wraps(function)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                settings = config.read()
                logs.set_up(settings.log_level)
                if opens:
                    open_bureau(settings)
                gc.freeze()  # what is there now stays: the collector need not look at it again and again
                return function(*args, **kwargs)
            except DBAPIError as error:
                failed: BureauError = SettingError(f"the database (BUREAU_DATABASE_URL) failed: {_reason(error)}")
            except BureauError as error:
                failed = error
            except OSError as error:
                if error.errno == errno.EPIPE:
                    raise  # whoever read our output has gone: click knows how to end then
                failed = SettingError(f"{error.filename or 'the system'}: {error.strerror}")
            if kwargs.get("as_json"):
                say({"error": failed.slug, "detail": failed.detail})
            click.echo(f"bureau: {failed.detail}", err=True)
            sys.exit(1 if isinstance(failed, NotPermitted | Gone | keys.Altered) else 2)

        return group.command(name)(guarded)

    return decorate


def say(document: Any) -> None:
    """Print a document as the one JSON on standard output."""
    click.echo(json.dumps(document, ensure_ascii=False))


def _reason(error: DBAPIError) -> str:
    """What the database said, where that cannot hold values of a statement; else only its kind."""
    if isinstance(error, OperationalError | ProgrammingError):
        return str(error.orig).partition("\n")[0]
    return type(error.orig).__name__
