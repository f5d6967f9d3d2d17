"""The command `hitchpost`: reads arguments, calls, prints. No logic."""

import os
import sys
from threading import Event
from typing import NoReturn

import click
from peewee import PeeweeException
from psycopg2.errors import InsufficientPrivilege, UndefinedTable
from pydantic import SecretStr, ValidationError

from server import app
from server.base import logs, platform_names, tracing, vault
from server.base.errors import HitchpostError
from server.base.identity import utc_now
from server.base.version import VERSION
from server.config import SettingMissing, Settings
from server.projects import projects
from server.projects.rows import ProjectRow
from server.run import (
    doctor,
    embedded,
    forget,
    log_level,
    mistakes,
    probe,
    rotation,
    setting_errors,
    start,
    supervisor,
    tls,
    watching,
)
from server.run.app_commands import AppCommands, read_secret
from server.run.banner import banner
from server.run.roles import SERVE, environment_of, jobs_of
from server.storage import schema
from server.storage.database import database


@click.group()
@click.version_option(VERSION, prog_name="hitchpost")
def cli() -> None:
    """Hitchpost: social accounts and posts under your own external_id."""


@cli.command()
@click.option("--role", type=click.Choice(["all", *SERVE]), default="all", show_default=True)
def serve(role: str) -> None:
    """Migrate the database and serve until SIGTERM."""
    settings = _settings()
    stop, told_of_level = supervisor.stop_on_signals(), log_level.follow()
    tracing.wanted(os.environ)
    jobs = jobs_of(role, settings)
    roles = {job.kind for job in jobs}
    if "grpc" in roles:
        tls.examine(settings, utc_now())
    start.check_addresses(settings, roles)
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
    drain_seconds = settings.drain_timeout.total_seconds()
    with watching.gathering(settings, stop) as folder:
        children = supervisor.Supervisor(jobs, environment_of(settings), drain_seconds, folder)
        told_of_level.append(children.signal)
        children.wait_ready()
        click.echo(banner(settings, roles, embedded.dev_key_file(settings.data_dir), shown_key))
        children.run(stop)
        ended_well = children.stop()
    sys.exit(0 if ended_well else 1)


@cli.command(hidden=True)
@click.argument("kind", type=click.Choice(list(SERVE)))
@click.option("--core", type=int)
@click.option("--own-address")
def process(kind: str, core: int | None, own_address: str | None) -> None:
    """One process of `serve`, which starts it."""
    if core is not None:
        # Before there are threads: they inherit it.
        os.sched_setaffinity(0, {core})
    settings = _settings()
    ready, stop = Event(), supervisor.stop_on_signals()
    log_level.follow()
    tracing.start(os.environ)
    supervisor.stop_with_supervisor(stop)
    supervisor.announce_ready(ready)
    built = app.build(settings)
    watching.begin(settings)
    further = {} if own_address is None else {"own_address": own_address}
    SERVE[kind](built, ready, stop, **further)
    tracing.stop()


@cli.command()
def mcp() -> None:
    """Serve tools by the Model Context Protocol, on stdin and stdout."""
    mistakes.refuse_empty_owner(os.environ)
    settings, stop = _with_database(_settings()), supervisor.stop_on_signals()
    log_level.follow()
    tracing.start(os.environ)
    built = app.build(settings)
    database.require_primary()
    key = _mcp_key(settings)
    # Not imported before: no other command needs it, and it takes a second.
    from server.run import mcp as run_mcp

    run_mcp.serve(built, key, settings.mcp_external_id, stop)
    tracing.stop()


@cli.command()
@click.option("--finish", is_flag=True, help="No server of the version before is left: drop what it needed.")
def migrate(finish: bool) -> None:
    """Bring the database's tables up to date."""
    _with_database(_settings())
    database.require_primary()
    applied = schema.migrate(database, finish=finish)
    click.echo(f"applied: {', '.join(applied)}" if applied else "nothing to do")


@cli.command(name="doctor")
def doctor_command() -> None:
    """Check settings, database, migrations, keys and clock."""
    settings = _with_database(_settings())
    findings = list(doctor.examine(settings, database))
    for finding in findings:
        click.echo(f"{'ok  ' if finding.fine else 'FAIL'}  {finding.subject}: {finding.detail}")
    sys.exit(0 if all(finding.fine for finding in findings) else 1)


@cli.command(name="probe")
@click.option("--role", type=click.Choice(["all", *SERVE]), default="all", show_default=True)
def probe_command(role: str) -> None:
    """Ask the processes that `serve` runs on this machine; exit code 0 if they serve, else 1."""
    probe.probe(role, _settings())


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
    projects.add_redirect_url(projects.find(project), url, utc_now(), allow_http=settings.dev_mode)


@projects_group.command(name="remove-redirect-url")
@click.argument("project")
@click.argument("url")
def projects_remove_redirect_url(project: str, url: str) -> None:
    """Take a redirect_url from the allow-list."""
    _with_database(_settings())
    if not projects.remove_redirect_url(projects.find(project), url, utc_now()):
        raise projects.CommandError(
            f"{url!r} is not on the allow-list; `hitchpost projects list` shows what is."
        )


@cli.group(name="keys")
def keys_group() -> None:
    """API keys of a project, named by its name or id, and admin keys, which are no project's."""


@keys_group.command(name="create")
@click.argument("project", required=False)
@click.option("--admin", is_flag=True, help="For AdminService alone, over all projects; without PROJECT.")
@click.option("--name", default="", help="What the key is for.")
@click.option("--read-only", is_flag=True, help="Get, List and Validate methods only.")
def keys_create(project: str | None, admin: bool, name: str, read_only: bool) -> None:
    """Make a key and print it, this once."""
    _with_database(_settings())
    found = _project_or_admin(project, admin=admin)
    _, key = projects.issue_key(found.id if found else None, name, utc_now(), read_only=read_only)
    click.echo(key)


@keys_group.command(name="list")
@click.argument("project", required=False)
@click.option("--admin", is_flag=True, help="The admin keys; without PROJECT.")
def keys_list(project: str | None, admin: bool) -> None:
    """Show a project's keys, without their text."""
    _with_database(_settings())
    found = _project_or_admin(project, admin=admin)
    for key in projects.keys(found) if found else projects.admin_keys():
        rights = ("admin " if key.admin else "") + ("read-only" if key.read_only else "read-write")
        use = f"revoked {key.revoke_time:%Y-%m-%d %H:%M} UTC" if key.revoke_time else "in use"
        click.echo("\t".join((key.id, rights, use, key.name)))


@keys_group.command(name="revoke")
@click.argument("key_id")
def keys_revoke(key_id: str) -> None:
    """End a key; every worker refuses it within 30 seconds."""
    _with_database(_settings())
    if not projects.revoke_key(key_id, utc_now()):
        raise projects.CommandError(f"There is no key {key_id!r} in use; `hitchpost keys list` shows all.")


def _project_or_admin(project: str | None, *, admin: bool) -> ProjectRow | None:
    """The project whose keys are meant, None for admin keys."""
    if admin == (project is not None):
        raise projects.CommandError("Say whose keys: PROJECT, or --admin for keys of none.")
    return projects.find(project) if project is not None else None


@keys_group.command(name="rotate-encryption")
def keys_rotate_encryption() -> None:
    """Encrypt all that is stored with the first of HITCHPOST_ENCRYPTION_KEYS, while servers serve."""
    settings = _with_database(_settings())
    work = rotation.Rotation(app.vault_of(settings), database)
    with click.progressbar(length=rotation.about(database), file=sys.stderr, hidden=_hidden()) as bar:
        done = work.run(bar.update)
    click.echo(done)


@cli.group(name="accounts")
def accounts_group() -> None:
    """Social accounts of a project."""


@accounts_group.command(name="forget")
@click.argument("owner")
@click.option("--project", help="Name or id; may be left out when there is only one.")
@click.option("--yes", is_flag=True, help="Don't ask.")
def accounts_forget(owner: str, project: str | None, yes: bool) -> None:
    """Erase what is stored of OWNER, an external_id of accounts, and have the tokens revoked."""
    _with_database(_settings())
    of = projects.find_or_only(project)
    known = forget.known(of, owner)
    click.echo(known)
    if not yes:
        click.confirm("Go on?", abort=True)
    with click.progressbar(length=known.steps, file=sys.stderr, hidden=_hidden()) as bar:
        forget.forget(of, owner, utc_now, bar.update)
    click.echo(f"{owner!r} is forgotten")


@cli.group(name="apps")
def apps_group() -> None:
    """Apps of platforms that a project connects accounts by; see docs/platforms.md."""


# What follows would be a secret, which an error must not repeat.
@apps_group.command(name="set", context_settings={"allow_extra_args": True})
@click.argument("project")
@click.argument("platform", type=click.Choice(platform_names.ALL))
@click.argument("client_id")
@click.option("--secret-file", metavar="FILE", help="Has the client's secret; - is stdin.")
@click.option("--no-secret", is_flag=True, help="Keep the secret that is there; a new client is public.")
@click.option("--setting", "settings", multiple=True, metavar="NAME=VALUE", help="What else it needs.")
@click.option("--external-id", metavar="OWNER", help="Connects this owner's accounts alone.")
@click.pass_context
def apps_set(
    context: click.Context,
    project: str,
    platform: str,
    client_id: str,
    secret_file: str | None,
    no_secret: bool,
    settings: tuple[str, ...],
    external_id: str | None,
) -> None:
    """Take an app into use. Its secret is asked for, or read from stdin or a file."""
    if context.args:
        raise projects.CommandError(
            "There is more than PROJECT PLATFORM CLIENT_ID. The secret is not taken from the command line."
        )
    if no_secret and secret_file is not None:
        raise projects.CommandError("--no-secret and --secret-file exclude each other.")
    commands = _app_commands(project)
    secret = None if no_secret else read_secret(secret_file)
    click.echo(commands.set(platform, client_id, secret, settings, external_id))


@apps_group.command(name="list")
@click.argument("project")
def apps_list(project: str) -> None:
    """Show a project's apps, retired ones too, without their secrets."""
    for line in _app_commands(project).lines():
        click.echo(line)


@apps_group.command(name="delete")
@click.argument("project")
@click.argument("app_id")
def apps_delete(project: str, app_id: str) -> None:
    """Erase an app. Its accounts' tokens can't be refreshed or revoked any more."""
    _app_commands(project).delete(app_id)


def _app_commands(project: str) -> AppCommands:
    built = app.build(_with_database(_settings()))
    return AppCommands(built.platform_apps, projects.find(project).id)


def main() -> None:
    """Runs the command; what the operator can mend is one line on stderr and exit code 1."""
    expected = (
        OSError,
        SettingMissing,
        doctor.Trouble,
        embedded.NotInstalled,
        embedded.UnsafeDataDir,
        mistakes.SettingsRefused,
        probe.NotServing,
        projects.CommandError,
        supervisor.StartFailed,
        tls.TlsUnusable,
        tracing.TracesRefused,
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


def _hidden() -> bool:
    """Whether nobody looks at a progress bar."""
    return not sys.stderr.isatty()


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


def _mcp_key(settings: Settings) -> str:
    if settings.mcp_api_key is not None:
        return settings.mcp_api_key.get_secret_value()
    if not settings.dev_mode:
        raise SettingMissing("HITCHPOST_MCP_API_KEY is not set; hitchpost keys create makes a key")
    # Whoever tries it out may not have served before.
    schema.migrate(database)
    return embedded.ensure_dev_key(settings.data_dir, utc_now)
