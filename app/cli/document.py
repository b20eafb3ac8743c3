# SPDX-License-Identifier: Apache-2.0
"""The command that prints the OpenAPI document."""

import click

from app import openapi
from app.application import create_app
from app.commands import command, main


@command(main, "openapi", opens=False)
def print_openapi() -> None:
    """Print the OpenAPI document (YAML)."""
    click.echo(openapi.document(create_app("https://bureau.example")), nl=False)
