"""`hitchpost keys`: API keys of projects, and the rotation of encryption keys."""

import sys

import click

from server import app
from server.base.identity import utc_now
from server.commands.setup import nobody_looks, read_settings, with_database
from server.projects import projects
from server.projects.rows import ProjectRow
from server.run import rotation
from server.storage.database import database


@click.group(name="keys")
def group() -> None:
    """API keys of a project, named by its name or id, and admin keys, which are no project's."""


@group.command(name="create")
@click.argument("project", required=False)
@click.option("--admin", is_flag=True, help="For AdminService alone, over all projects; without PROJECT.")
@click.option("--name", default="", help="What the key is for.")
@click.option("--read-only", is_flag=True, help="Get, List and Validate methods only.")
def create(project: str | None, admin: bool, name: str, read_only: bool) -> None:
    """Make a key and print it, this once."""
    with_database(read_settings())
    found = _project_or_admin(project, admin=admin)
    _, key = projects.issue_key(found.id if found else None, name, utc_now(), read_only=read_only)
    click.echo(key)


@group.command(name="list")
@click.argument("project", required=False)
@click.option("--admin", is_flag=True, help="The admin keys; without PROJECT.")
def list_keys(project: str | None, admin: bool) -> None:
    """Show a project's keys, without their text."""
    with_database(read_settings())
    found = _project_or_admin(project, admin=admin)
    for key in projects.keys(found) if found else projects.admin_keys():
        rights = ("admin " if key.admin else "") + ("read-only" if key.read_only else "read-write")
        use = f"revoked {key.revoke_time:%Y-%m-%d %H:%M} UTC" if key.revoke_time else "in use"
        click.echo("\t".join((key.id, rights, use, key.name)))


@group.command(name="revoke")
@click.argument("key_id")
def revoke(key_id: str) -> None:
    """End a key; every worker refuses it within 30 seconds."""
    with_database(read_settings())
    if not projects.revoke_key(key_id, utc_now()):
        raise projects.CommandError(f"There is no key {key_id!r} in use; `hitchpost keys list` shows all.")


@group.command(name="rotate-encryption")
def rotate_encryption() -> None:
    """Encrypt all that is stored with the first of HITCHPOST_ENCRYPTION_KEYS, while servers serve."""
    settings = with_database(read_settings())
    work = rotation.Rotation(app.vault_of(settings), database)
    with click.progressbar(length=rotation.about(database), file=sys.stderr, hidden=nobody_looks()) as bar:
        done = work.run(bar.update)
    click.echo(done)


def _project_or_admin(project: str | None, *, admin: bool) -> ProjectRow | None:
    """The project whose keys are meant, None for admin keys."""
    if admin == (project is not None):
        raise projects.CommandError("Say whose keys: PROJECT, or --admin for keys of none.")
    return projects.find(project) if project is not None else None
