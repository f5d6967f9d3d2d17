"""`hitchpost projects`: tenants, and where their browsers may be sent back to."""

import click

from server.base.identity import utc_now
from server.commands.setup import read_settings, with_database
from server.projects import projects


@click.group(name="projects")
def group() -> None:
    """Tenants: each has its own accounts, posts and keys."""


@group.command(name="create")
@click.argument("name")
def create(name: str) -> None:
    """Make a project."""
    with_database(read_settings())
    click.echo(projects.create(name, utc_now()))


@group.command(name="list")
def list_projects() -> None:
    """Show all projects and their redirect URLs."""
    with_database(read_settings())
    for project in projects.every():
        click.echo("\t".join((project.id, project.name, " ".join(project.redirect_urls))))


@group.command(name="add-redirect-url")
@click.argument("project")
@click.argument("url")
def add_redirect_url(project: str, url: str) -> None:
    """Allow a redirect_url of connection attempts, exactly as given; https only, outside dev mode."""
    settings = with_database(read_settings())
    projects.add_redirect_url(projects.find(project), url, utc_now(), allow_http=settings.dev_mode)


@group.command(name="remove-redirect-url")
@click.argument("project")
@click.argument("url")
def remove_redirect_url(project: str, url: str) -> None:
    """Take a redirect_url from the allow-list."""
    with_database(read_settings())
    if not projects.remove_redirect_url(projects.find(project), url, utc_now()):
        raise projects.CommandError(
            f"{url!r} is not on the allow-list; `hitchpost projects list` shows what is."
        )
