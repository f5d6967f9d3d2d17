"""`hitchpost accounts`: what an operator does to the accounts of an owner."""

import sys

import click

from server.base.identity import utc_now
from server.commands.setup import nobody_looks, read_settings, with_database
from server.projects import projects
from server.run import forget


@click.group(name="accounts")
def group() -> None:
    """Social accounts of a project."""


@group.command(name="forget")
@click.argument("owner")
@click.option("--project", help="Name or id; may be left out when there is only one.")
@click.option("--yes", is_flag=True, help="Don't ask.")
def forget_owner(owner: str, project: str | None, yes: bool) -> None:
    """Erase what is stored of OWNER, an external_id of accounts, and have the tokens revoked."""
    with_database(read_settings())
    of = projects.find_or_only(project)
    known = forget.known(of, owner)
    click.echo(known)
    if not yes:
        click.confirm("Go on?", abort=True)
    with click.progressbar(length=known.steps, file=sys.stderr, hidden=nobody_looks()) as bar:
        forget.forget(of, owner, utc_now, bar.update)
    click.echo(f"{owner!r} is forgotten")
