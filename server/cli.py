"""The command `hitchpost`: reads arguments, calls, prints. No logic."""

import itertools
import os
import sys
from threading import Event
from typing import NoReturn

import click
from peewee import PeeweeException
from psycopg2.errors import InsufficientPrivilege, UndefinedTable
from pydantic import SecretStr, ValidationError

from server import (
    app,
    doctor,
    embedded,
    logs,
    mistakes,
    projects,
    schema,
    setting_errors,
    start,
    supervisor,
    tls,
    vault,
)
from server.banner import banner
from server.config import SettingMissing, Settings, cores
from server.database import database
from server.errors import HitchpostError
from server.identity import utc_now


@click.group()
@click.version_option(package_name="hitchpost")
def cli() -> None:
    """Hitchpost: social accounts and posts under your own external_id."""


@cli.command()
@click.option("--role", type=click.Choice(["all", *app.SERVE]), default="all", show_default=True)
def serve(role: str) -> None:
    """Migrate the database and serve until SIGTERM."""
    settings = _settings()
    stop = supervisor.stop_on_signals()
    kinds = _kinds(role, settings)
    roles = {kind for kind, _ in kinds}
    if "grpc" in roles:
        tls.examine(settings, utc_now())
        start.check_free("HITCHPOST_GRPC_ADDRESS", settings.grpc_address)
    if "web" in roles:
        start.check_free("HITCHPOST_WEB_ADDRESS", settings.web_address)
    settings = _with_database(settings)
    app.build(settings)
    if not start.wait_for_primary(database, stop):
        return
    start.warn_of_statement_log(database)
    doctor.refuse_swapped_sessions(database)
    schema.migrate(database)
    dev_key = embedded.ensure_dev_key(settings.data_dir, utc_now) if settings.dev_mode else None
    # What is no terminal may be a log, which others read.
    shown_key = dev_key if sys.stdout.isatty() else None
    children = supervisor.Supervisor(kinds, _environment(settings), settings.drain_timeout.total_seconds())
    children.wait_ready()
    click.echo(banner(settings, roles, embedded.dev_key_file(settings.data_dir), shown_key))
    children.run(stop)
    sys.exit(0 if children.stop() else 1)


@cli.command(hidden=True)
@click.argument("kind", type=click.Choice(list(app.SERVE)))
@click.option("--core", type=int)
def process(kind: str, core: int | None) -> None:
    """One process of `serve`, which starts it."""
    if core is not None:
        # Before there are threads: they inherit it.
        os.sched_setaffinity(0, {core})
    settings = _settings()
    ready, stop = Event(), supervisor.stop_on_signals()
    supervisor.stop_with_supervisor(stop)
    supervisor.announce_ready(ready)
    app.SERVE[kind](app.build(settings), ready, stop)


@cli.command()
def migrate() -> None:
    """Bring the database's tables up to date."""
    _with_database(_settings())
    database.require_primary()
    applied = schema.migrate(database)
    click.echo(f"applied: {', '.join(applied)}" if applied else "nothing to do")


@cli.command(name="doctor")
def doctor_command() -> None:
    """Check settings, database, migrations, keys and clock."""
    settings = _with_database(_settings())
    findings = list(doctor.examine(settings, database))
    for finding in findings:
        click.echo(f"{'ok  ' if finding.fine else 'FAIL'}  {finding.subject}: {finding.detail}")
    sys.exit(0 if all(finding.fine for finding in findings) else 1)


@cli.command(name="generate-encryption-key")
def generate_encryption_key() -> None:
    """Print a new key for HITCHPOST_ENCRYPTION_KEYS; nothing else has it, so keep it."""
    click.echo(vault.new_key())


@cli.group(name="projects")
def projects_group() -> None:
    """Tenants: each has its own accounts, posts and keys."""


@projects_group.command(name="create")
@click.argument("name")
def projects_create(name: str) -> None:
    """Make a project."""
    _with_database(_settings())
    click.echo(projects.create(name, utc_now()))


@projects_group.command(name="list")
def projects_list() -> None:
    """Show all projects and their redirect URLs."""
    _with_database(_settings())
    for project in projects.every():
        click.echo("\t".join((project.id, project.name, " ".join(project.redirect_urls))))


@projects_group.command(name="add-redirect-url")
@click.argument("project")
@click.argument("url")
def projects_add_redirect_url(project: str, url: str) -> None:
    """Allow a redirect_url of connection attempts, exactly as given; https only, outside dev mode."""
    settings = _with_database(_settings())
    projects.add_redirect_url(projects.find(project), url, allow_http=settings.dev_mode)


@projects_group.command(name="remove-redirect-url")
@click.argument("project")
@click.argument("url")
def projects_remove_redirect_url(project: str, url: str) -> None:
    """Take a redirect_url from the allow-list."""
    _with_database(_settings())
    projects.remove_redirect_url(projects.find(project), url)


@cli.group(name="keys")
def keys_group() -> None:
    """API keys of a project, named by its name or id."""


@keys_group.command(name="create")
@click.argument("project")
@click.option("--name", default="", help="What the key is for.")
@click.option("--read-only", is_flag=True, help="Get and List methods only.")
def keys_create(project: str, name: str, read_only: bool) -> None:
    """Make a key and print it, this once."""
    _with_database(_settings())
    click.echo(projects.create_key(projects.find(project).id, name, utc_now(), read_only=read_only))


@keys_group.command(name="list")
@click.argument("project")
def keys_list(project: str) -> None:
    """Show a project's keys, without their text."""
    _with_database(_settings())
    for key in projects.keys(projects.find(project)):
        rights = "read-only" if key.read_only else "read-write"
        use = f"revoked {key.revoke_time:%Y-%m-%d %H:%M} UTC" if key.revoke_time else "in use"
        click.echo("\t".join((key.id, rights, use, key.name)))


@keys_group.command(name="revoke")
@click.argument("key_id")
def keys_revoke(key_id: str) -> None:
    """End a key; every worker refuses it within 30 seconds."""
    _with_database(_settings())
    projects.revoke_key(key_id, utc_now())


def main() -> None:
    """Runs the command; what the operator can mend is one line on stderr and exit code 1."""
    expected = (
        OSError,
        SettingMissing,
        doctor.Trouble,
        embedded.UnsafeDataDir,
        mistakes.SettingsRefused,
        projects.CommandError,
        supervisor.StartFailed,
        tls.TlsUnusable,
    )
    try:
        cli()
    except UndefinedTable:
        _fail("the database lacks a table; run hitchpost migrate")
    except HitchpostError as error:
        _fail(error.for_operator)
    except (InsufficientPrivilege, PeeweeException) as error:
        _fail(f"the database refuses it: {str(error).strip().splitlines()[0]}")
    except expected as error:
        _fail(str(error))


def _fail(reason: str) -> NoReturn:
    click.echo(f"hitchpost: {reason}", err=True)
    sys.exit(1)


def _settings() -> Settings:
    mistakes.refuse_unknown(os.environ)
    try:
        settings = Settings()
    except ValidationError as error:
        raise click.ClickException("\n".join(setting_errors.explain(error))) from None
    mistakes.refuse_accidental_dev_mode(settings)
    logs.configure(settings.log_level)
    return settings


def _with_database(settings: Settings) -> Settings:
    """The settings with a database and an encryption key, which dev mode starts and makes itself."""
    if settings.database_url is None:
        url = embedded.start(settings.data_dir).get_uri()
        settings = settings.model_copy(update={"database_url": SecretStr(url)})
    else:
        url = settings.database_url.get_secret_value()
    if settings.encryption_keys is None and settings.dev_mode:
        key = embedded.encryption_key(settings.data_dir)
        settings = settings.model_copy(update={"encryption_keys": SecretStr(key)})
    database.configure(url, settings.statement_timeout)
    return settings


def _kinds(role: str, settings: Settings) -> list[tuple[str, int | None]]:
    """Each process's kind, and the core that it keeps to."""
    usable = itertools.cycle(cores())
    workers = [("grpc", next(usable) if settings.pin_workers else None) for _ in range(settings.workers)]
    return [
        (kind, core) for kind, core in [*workers, ("web", None), ("worker", None)] if role in ("all", kind)
    ]


def _environment(settings: Settings) -> dict[str, str]:
    """What the children need to know beyond what the environment said, which goes first for libraries."""
    resolved = {
        "HITCHPOST_DATABASE_URL": settings.database_url,
        "HITCHPOST_ENCRYPTION_KEYS": settings.encryption_keys,
    }
    secrets = {name: value.get_secret_value() for name, value in resolved.items() if value is not None}
    return {
        **supervisor.GRPC_ENVIRONMENT,
        **supervisor.MALLOC_ENVIRONMENT,
        **os.environ,
        **secrets,
        "HITCHPOST_DEV_MODE": str(settings.dev_mode),
    }
