"""The command `hitchpost`: reads arguments, calls, prints. No logic."""

import os
import sys
from threading import Event
from typing import NoReturn

import click
from peewee import PeeweeException
from psycopg2.errors import InsufficientPrivilege, UndefinedTable

from server import app
from server.base import tracing, vault
from server.base.errors import HitchpostError
from server.base.identity import utc_now
from server.base.version import VERSION
from server.commands import about, accounts, apps, keys, projects
from server.commands.setup import read_settings, with_database
from server.config import SettingMissing, Settings
from server.projects.projects import CommandError
from server.run import doctor, embedded, log_level, mistakes, probe, start, supervisor, tls, watching
from server.run.banner import banner
from server.run.roles import SERVE, environment_of, jobs_of
from server.storage import schema
from server.storage.database import database


@click.group()
@click.version_option(VERSION)
def cli() -> None:
    """Hitchpost: social accounts and posts under your own external_id."""


@cli.command(cls=about.CommandWithSettings)
@click.option(
    "--role", type=click.Choice(["all", *SERVE]), default="all", show_default=True, help="What runs here."
)
def serve(role: str) -> None:
    """Migrate the database and serve until SIGTERM."""
    settings = read_settings()
    stop, told_of_level = supervisor.stop_on_signals(), log_level.follow()
    tracing.wanted(os.environ)
    jobs = jobs_of(role, settings)
    roles = {job.kind for job in jobs}
    if "grpc" in roles:
        tls.examine(settings, utc_now())
    start.check_addresses(settings, roles)
    settings = with_database(settings)
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
    settings = read_settings()
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
    settings, stop = with_database(read_settings()), supervisor.stop_on_signals()
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
    with_database(read_settings())
    database.require_primary()
    applied = schema.migrate(database, finish=finish)
    click.echo(f"applied: {', '.join(applied)}" if applied else "nothing to do")


@cli.command(name="doctor")
def doctor_command() -> None:
    """Check settings, database, migrations, keys and clock."""
    settings = with_database(read_settings())
    findings = list(doctor.examine(settings, database))
    for finding in findings:
        click.echo(f"{'ok  ' if finding.fine else 'FAIL'}  {finding.subject}: {finding.detail}")
    sys.exit(0 if all(finding.fine for finding in findings) else 1)


@cli.command(name="probe")
@click.option(
    "--role", type=click.Choice(["all", *SERVE]), default="all", show_default=True, help="What runs here."
)
def probe_command(role: str) -> None:
    """Ask the processes that `serve` runs on this machine; exit code 0 if they serve, else 1."""
    probe.probe(role, read_settings())


@cli.command(name="generate-encryption-key")
def generate_encryption_key() -> None:
    """Print a new key for HITCHPOST_ENCRYPTION_KEYS; nothing else has it, so keep it."""
    click.echo(vault.new_key())


for command in (
    about.settings,
    about.version_command,
    about.completion,
    projects.group,
    keys.group,
    accounts.group,
    apps.group,
):
    cli.add_command(command)


def main() -> None:
    """Runs the command; what the operator can mend is one line on stderr and exit code 1."""
    expected = (
        CommandError,
        OSError,
        SettingMissing,
        doctor.Trouble,
        embedded.NotInstalled,
        embedded.UnsafeDataDir,
        mistakes.SettingsRefused,
        probe.NotServing,
        supervisor.StartFailed,
        tls.TlsUnusable,
        tracing.TracesRefused,
    )
    try:
        cli(prog_name=about.PROGRAM)
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


def _mcp_key(settings: Settings) -> str:
    if settings.mcp_api_key is not None:
        return settings.mcp_api_key.get_secret_value()
    if not settings.dev_mode:
        raise SettingMissing("HITCHPOST_MCP_API_KEY is not set; hitchpost keys create makes a key")
    # Whoever tries it out may not have served before.
    schema.migrate(database)
    return embedded.ensure_dev_key(settings.data_dir, utc_now)
