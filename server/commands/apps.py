"""`hitchpost apps`: the apps of platforms that projects connect accounts by."""

import click

from server import app
from server.base import platform_names
from server.commands.setup import read_settings, with_database
from server.projects import projects
from server.run.app_commands import AppCommands, read_secret


@click.group(name="apps")
def group() -> None:
    """Apps of platforms that a project connects accounts by; see docs/platforms.md."""


# What follows would be a secret, which an error must not repeat.
@group.command(name="set", context_settings={"allow_extra_args": True})
@click.argument("project")
@click.argument("platform", type=click.Choice(platform_names.ALL), metavar="PLATFORM")
@click.argument("client_id")
@click.option("--secret-file", metavar="FILE", help="Has the client's secret; - is stdin.")
@click.option("--no-secret", is_flag=True, help="Keep the secret that is there; a new client is public.")
@click.option("--setting", "settings", multiple=True, metavar="NAME=VALUE", help="What else it needs.")
@click.option("--external-id", metavar="OWNER", help="Connects this owner's accounts alone.")
@click.pass_context
def set_app(
    context: click.Context,
    project: str,
    platform: str,
    client_id: str,
    secret_file: str | None,
    no_secret: bool,
    settings: tuple[str, ...],
    external_id: str | None,
) -> None:
    """Take an app into use, of a platform such as pinterest. Its secret is asked for, or read from stdin or a
    file."""
    if context.args:
        raise projects.CommandError(
            "There is more than PROJECT PLATFORM CLIENT_ID. The secret is not taken from the command line."
        )
    if no_secret and secret_file is not None:
        raise projects.CommandError("--no-secret and --secret-file exclude each other.")
    commands = _app_commands(project)
    secret = None if no_secret else read_secret(secret_file)
    click.echo(commands.set(platform, client_id, secret, settings, external_id))


@group.command(name="list")
@click.argument("project")
def list_apps(project: str) -> None:
    """Show a project's apps, retired ones too, without their secrets."""
    for line in _app_commands(project).lines():
        click.echo(line)


@group.command(name="delete")
@click.argument("project")
@click.argument("app_id")
def delete_app(project: str, app_id: str) -> None:
    """Erase an app. Its accounts' tokens can't be refreshed or revoked any more."""
    _app_commands(project).delete(app_id)


def _app_commands(project: str) -> AppCommands:
    built = app.build(with_database(read_settings()))
    return AppCommands(built.platform_apps, projects.find(project).id)
