"""`hitchpost keys`: API keys of projects, and the rotation of encryption keys."""

import sys

import click

from server import app
from server.base.identity import utc_now
from server.commands.setup import nobody_looks, read_settings, with_database
from server.projects import projects
from server.run import rotation
from server.storage.database import database


@click.group(name="keys")
def group() -> None:
    """API keys of a project, named by its name or id."""


@group.command(name="create")
@click.argument("project")
@click.option("--name", default="", help="What the key is for.")
@click.option("--read-only", is_flag=True, help="Get and List methods only.")
def create(project: str, name: str, read_only: bool) -> None:
    """Make a key and print it, this once."""
    with_database(read_settings())
    click.echo(projects.create_key(projects.find(project).id, name, utc_now(), read_only=read_only))


@group.command(name="list")
@click.argument("project")
def list_keys(project: str) -> None:
    """Show a project's keys, without their text."""
    with_database(read_settings())
    for key in projects.keys(projects.find(project)):
        rights = "read-only" if key.read_only else "read-write"
        use = f"revoked {key.revoke_time:%Y-%m-%d %H:%M} UTC" if key.revoke_time else "in use"
        click.echo("\t".join((key.id, rights, use, key.name)))


@group.command(name="revoke")
@click.argument("key_id")
def revoke(key_id: str) -> None:
    """End a key; every worker refuses it within 30 seconds."""
    with_database(read_settings())
    projects.revoke_key(key_id, utc_now())


@group.command(name="rotate-encryption")
def rotate_encryption() -> None:
    """Encrypt all that is stored with the first of HITCHPOST_ENCRYPTION_KEYS, while servers serve."""
    settings = with_database(read_settings())
    work = rotation.Rotation(app.vault_of(settings), database)
    with click.progressbar(length=rotation.about(database), file=sys.stderr, hidden=nobody_looks()) as bar:
        done = work.run(bar.update)
    click.echo(done)
