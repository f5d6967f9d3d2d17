"""The command `hitchpost`: reads arguments, calls, prints. No logic."""

import itertools
import os
import shutil
import sys
from pathlib import Path
from threading import Event
from typing import NoReturn

import click
from psycopg2.errors import UndefinedTable
from pydantic import SecretStr, ValidationError

from server import app, doctor, embedded, logs, projects, schema, supervisor
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
    for kind, address in (("grpc", settings.grpc_address), ("web", settings.web_address)):
        if kind in roles:
            supervisor.check_free(address)
    settings = _with_database(settings)
    app.build(settings)
    schema.migrate(database)
    dev_key = embedded.ensure_dev_key(settings.data_dir, utc_now) if settings.dev_mode else None
    children = supervisor.Supervisor(kinds, _environment(settings), settings.drain_timeout.total_seconds())
    children.wait_ready()
    click.echo(_banner(settings, roles, dev_key))
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
    """Allow a redirect_url of connection attempts, exactly as given."""
    _with_database(_settings())
    projects.add_redirect_url(projects.find(project), url)


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
        HitchpostError,
        OSError,
        SettingMissing,
        embedded.UnsafeDataDir,
        projects.CommandError,
        supervisor.StartFailed,
    )
    try:
        cli()
    except UndefinedTable:
        _fail("the database lacks a table; run hitchpost migrate")
    except expected as error:
        _fail(str(error))


def _fail(reason: str) -> NoReturn:
    click.echo(f"hitchpost: {reason}", err=True)
    sys.exit(1)


def _settings() -> Settings:
    try:
        settings = Settings()
    except ValidationError as error:
        # Never the input: it may be a secret. A default that needs a wrong setting is not wrong itself.
        wrong = [
            f"{_variable(found['loc'])} {found['msg']}"
            for found in error.errors(include_input=False)
            if found["type"] != "default_factory_not_called"
        ]
        raise click.ClickException("\n".join(wrong)) from None
    logs.configure(settings.log_level)
    return settings


def _variable(location: tuple[int | str, ...]) -> str:
    """The name of the environment variable; what concerns several of them has no location."""
    return f"HITCHPOST_{location[0]}".upper() if location else "settings:"


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


def _banner(settings: Settings, roles: set[str], dev_key: str | None) -> str:
    lines = ["Hitchpost is ready."]
    if "grpc" in roles:
        lines.append(f"  gRPC     {settings.grpc_address}")
    if "web" in roles:
        lines.append(f"  web      {settings.public_url}")
    if dev_key is not None:
        lines += [f"  dev key  {dev_key}", *_examples(settings)]
    return "\n".join(lines)


def _examples(settings: Settings) -> list[str]:
    """Three lines to paste into a shell, in this order."""
    key_file = embedded.dev_key_file(settings.data_dir)
    transport = "-cacert ca.pem" if settings.tls_cert else "-plaintext"
    call = f'{_grpcurl()} {transport} -H "authorization: Bearer $(cat {key_file})"'
    sandbox = '"platform": "PLATFORM_SANDBOX", "external_id": "user_123"'
    profile = '"platform_user_id": "42", "username": "mia", "access_token": "example"'
    calls = {
        "CreateAuthUrl": f"{{{sandbox}}}",
        "ImportSocialAccount": f"{{{sandbox}, {profile}}}",
        "ListSocialAccounts": '{"external_ids": ["user_123"]}',
    }
    target = f"{settings.grpc_address} hitchpost.v1.SocialAccountService"
    lines = [f"{call} -d '{body}' {target}/{method}" for method, body in calls.items()]
    # grpcurl writes & as \u0026, and the first line's answer is an address to open in a browser.
    lines[0] += r" | sed 's/\\u0026/\&/g'"
    return ["", "Try it in another terminal, in this folder:", "", *lines]


def _grpcurl() -> str:
    if shutil.which("grpcurl"):
        return "grpcurl"
    beside = Path(sys.executable).parent / "grpcurl"
    return os.path.relpath(beside) if beside.exists() else "grpcurl"
