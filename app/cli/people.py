# SPDX-License-Identifier: Apache-2.0
"""Commands about the people who sign in."""

import click

from access import people
from app.commands import Text, as_json, command, main, say
from kernel import db


@main.group("person")
def person_group() -> None:
    """People who sign in."""


@command(person_group, "add")
@click.option("--role", type=click.Choice(tuple(people.ROLE_SCOPES)), required=True)
@click.option("--uscc", type=Text(32), help="The enterprise that a signatory acts for.")
@click.option("--username", type=Text(64), help="3 to 64 of a-z 0-9 . _ -  (default: made up).")
@click.option("--name", type=Text(200), help="The person's full name.")
@click.option("--staff-no", type=Text(64), help="Of staff: one person, one role (default: made up).")
@as_json
def add_person(
    role: str, uscc: str | None, username: str | None, name: str | None, staff_no: str | None, as_json: bool
) -> None:
    """Register a person; the password is shown once."""
    with db.transaction() as tx:
        username, password = people.add(tx, role, uscc, username, name, staff_no)
    if as_json:
        say({"username": username, "password": password})
    else:
        click.echo(f"username {username}\npassword (shown once) {password}")
