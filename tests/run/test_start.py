"""How a server begins when its database is not ready, and what an operator is told about why."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import pytest

from server.base.errors import DatabaseUnavailable
from server.config import Settings
from server.run import embedded
from server.storage.database import Database
from server.storage.unreachable import check_url
from tests.conftest import ENCRYPTION_KEY
from tests.kit.servers import eventually, hitchpost, local_channel, new_server, refused, rows, serving
from tests.kit.support import free_port, unique

PASSWORD = "do-not-print-me"
WAITING = "waiting for a database that takes writes"


class Obstacle(Protocol):
    """Makes a PostgreSQL unfit until the end of the block."""

    def __call__(self, postgres: Any) -> AbstractContextManager[None]: ...


@pytest.fixture(scope="module")
def own_postgres(run_dir: Path) -> Iterator[Any]:
    """A PostgreSQL that the tests here stop, make a standby, and change the rules of."""
    server = embedded.start(run_dir / unique("start"))
    rows(server.get_uri(), f"CREATE ROLE guarded LOGIN SUPERUSER PASSWORD '{PASSWORD}'")
    rows(server.get_uri(), "CREATE ROLE banned LOGIN; CREATE ROLE crowded LOGIN CONNECTION LIMIT 0")
    hba = server.pgdata / "pg_hba.conf"
    hba.write_text(f"local all guarded scram-sha-256\nlocal all banned reject\n{hba.read_text()}")
    server.stop()
    server.start()
    yield server
    server.cleanup()


@contextmanager
def as_standby(postgres: Any) -> Iterator[None]:
    """In recovery, until it is promoted."""
    postgres.stop()
    (postgres.pgdata / "standby.signal").touch()
    postgres.start()
    try:
        yield
    finally:
        assert rows(postgres.get_uri(), "SELECT pg_promote()") == [(True,)]


@contextmanager
def as_read_only(postgres: Any) -> Iterator[None]:
    """Every transaction may only read."""
    change = "ALTER ROLE postgres {} default_transaction_read_only {}"
    rows(postgres.get_uri(), change.format("SET", "= on"))
    try:
        yield
    finally:
        rows(postgres.get_uri(), "SET transaction_read_only = off; " + change.format("RESET", ""))


@contextmanager
def as_down(postgres: Any) -> Iterator[None]:
    """Nobody listens."""
    postgres.stop()
    try:
        yield
    finally:
        postgres.start()


OBSTACLES = pytest.mark.parametrize(
    ("obstacle", "what"),
    [
        (as_standby, "is a standby or read-only"),
        (as_read_only, "is a standby or read-only"),
        (as_down, "can't be reached"),
    ],
    ids=["standby", "read-only", "down"],
)


@OBSTACLES
def test_serve_waits_for_a_primary(obstacle: Obstacle, what: str, run_dir: Path, own_postgres: Any) -> None:
    server = new_server(run_dir, own_postgres.get_uri())
    try:
        with obstacle(own_postgres):
            server.start()
            waiting = eventually("it says that it waits", lambda: server.logged(message=WAITING))
            assert what in waiting[0]["cause"]
            assert server.process.poll() is None
        server.wait_ready()
        # It reminds only every 30 seconds, and while a standby becomes a primary the cause may change.
        causes = [line["cause"] for line in server.logged(message=WAITING)]
        assert len(causes) == len(set(causes)), causes
        assert server.stop() == 0, server.log.read_text()
    finally:
        server.kill()


@OBSTACLES
def test_serve_that_waits_for_a_primary_stops_on_sigterm(
    obstacle: Obstacle, what: str, run_dir: Path, own_postgres: Any
) -> None:
    server = new_server(run_dir, own_postgres.get_uri())
    try:
        with obstacle(own_postgres):
            server.start()
            eventually("it says that it waits", lambda: server.logged(message=WAITING))
            assert server.stop() == 0, server.log.read_text()
        assert server.output.read_text() == ""
    finally:
        server.kill()


@OBSTACLES
def test_other_commands_do_not_wait_for_a_primary_but_say_it(
    obstacle: Obstacle, what: str, own_postgres: Any
) -> None:
    url = own_postgres.get_uri()
    settings = {"database_url": url, "encryption_keys": ENCRYPTION_KEY}
    assert hitchpost("migrate", **settings).returncode == 0
    with obstacle(own_postgres):
        assert what in refused("migrate", **settings)
        assert "read-only" in refused("projects", "create", unique("p"), **settings) or obstacle is as_down
        ran = hitchpost("doctor", **settings)
        [finding] = [line for line in ran.stdout.splitlines() if "  database: " in line]
    assert finding.startswith("FAIL"), ran
    assert what in finding
    assert (ran.returncode, ran.stderr) == (1, "")


def causes(postgres: Any) -> dict[str, tuple[str, str, str, bool]]:
    """By what is wrong: the URL, what is said, a piece of the driver's own text, and whether it may pass."""
    url = postgres.get_uri()
    guarded = url.replace("//postgres:@", f"//guarded:{PASSWORD}%40@")
    there = f"//postgres:{PASSWORD}@127.0.0.1:{free_port()}"
    # A space, so that nobody is asked for such a name.
    nowhere = f"postgresql://u:{PASSWORD}@no%20host"
    return {
        "password": (guarded, "refuses the user or the password of", 'failed for user "guarded"', False),
        "no password": (
            guarded.replace(f"{PASSWORD}%40", ""),
            "refuses the user",
            "no password supplied",
            False,
        ),
        "user": (url.replace("//postgres", "//nobody"), "does not know the user", 'role "nobody"', False),
        "banned": (url.replace("//postgres", "//banned"), "lets nobody in", 'user "banned"', False),
        "database": (postgres.get_uri(database="none"), "is missing", 'database "none" does not', False),
        "host": (f"{nowhere}/x", "The host in HITCHPOST_DATABASE_URL is not found", '"no host"', False),
        "parameter": (f"postgresql:{there}/x?sslmode=perhaps", "is not understood", '"perhaps"', False),
        "full": (
            url.replace("//postgres", "//crowded"),
            "The database is full",
            "too many connections",
            True,
        ),
        "down": (f"postgresql:{there}/x", "it is down, or not where", "Connection refused", True),
        "two hosts": (f"{nowhere},127.0.0.1:1/x", "it is down, or not where", "Connection refused", True),
    }


@pytest.mark.parametrize(
    "cause",
    [
        "password",
        "no password",
        "user",
        "banned",
        "database",
        "host",
        "parameter",
        "full",
        "down",
        "two hosts",
    ],
)
def test_why_the_database_is_unavailable_is_said_without_the_password(cause: str, own_postgres: Any) -> None:
    url, meaning, text, passes = causes(own_postgres)[cause]
    database = Database()
    database.configure(url, timedelta(seconds=5))
    with pytest.raises(DatabaseUnavailable) as raised:
        database.require_primary()
    said = raised.value.for_operator
    assert meaning in said
    assert text in said
    assert PASSWORD not in said
    assert "\n" not in said
    assert raised.value.passes is passes
    assert str(raised.value) == "The database can't be reached at the moment; try again."


@pytest.mark.parametrize("cause", ["password", "down"])
def test_the_command_line_says_why_the_database_is_unavailable(cause: str, own_postgres: Any) -> None:
    url, meaning, text, _ = causes(own_postgres)[cause]
    addresses = {name: f"127.0.0.1:{free_port()}" for name in ("grpc_address", "web_address")}
    settings = {"database_url": url, "encryption_keys": ENCRYPTION_KEY, **addresses}
    # Where the database is down, serve waits for it.
    said = refused("migrate" if cause == "down" else "serve", **settings)
    ran = hitchpost("doctor", **settings)
    [finding] = [line for line in ran.stdout.splitlines() if "  database: " in line]
    assert said.startswith("hitchpost: The database ")
    assert finding.startswith("FAIL")
    for line in (said, finding):
        assert meaning in line
        assert text in line
        assert PASSWORD not in line


def test_a_role_without_rights_is_told_so_in_one_line(own_postgres: Any) -> None:
    rows(own_postgres.get_uri(), "CREATE ROLE powerless LOGIN; REVOKE CREATE ON SCHEMA public FROM public")
    settings = {
        "database_url": own_postgres.get_uri(database="template1").replace("//postgres", "//powerless"),
        "encryption_keys": ENCRYPTION_KEY,
    }
    assert "the database refuses it: permission denied for schema public" in refused("migrate", **settings)


def test_the_log_says_why_the_database_is_away_once_for_each_cause(run_dir: Path, own_postgres: Any) -> None:
    url = own_postgres.get_uri().replace("//postgres:@", f"//guarded:{PASSWORD}@")
    with serving(run_dir, url) as server, closing(local_channel(server.address)) as channel:
        client = server.new_client(channel)

        def away(cause: str) -> bool:
            lines = server.logged(message="database is away", logger="server.rpc.health")
            return cause in "".join(line["cause"] for line in lines)

        with as_down(own_postgres):
            eventually("the log says that it is down", lambda: away("it is down, or not where"))
            failed = client.fails("SocialAccountService/ListSocialAccounts")
        rows(own_postgres.get_uri(), "ALTER ROLE guarded PASSWORD 'another'")
        eventually(
            "the log says that the password is wrong", lambda: away("refuses the user or the password")
        )
        rows(own_postgres.get_uri(), f"ALTER ROLE guarded PASSWORD '{PASSWORD}'")
        eventually("it is well again", lambda: len(server.logged(message="database answers")) > 1)
        said = [line["cause"] for line in server.logged(message="database is away")]
        assert all(one != other for one, other in pairwise(said)), said
        assert PASSWORD not in server.log.read_text()
    assert failed.what == ("UNAVAILABLE", "DATABASE_UNAVAILABLE")
    assert failed.message == "The database can't be reached at the moment; try again."
    assert (failed.metadata, failed.retry) == ({}, True)


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://hitchpost:p@{PASSWORD}@db.internal/hitchpost",
        f"postgresql://hitchpost:p/{PASSWORD}@db.internal/hitchpost",
        f"postgresql://hitchpost:p/{PASSWORD}?x@db.internal/hitchpost",
        f"postgresql://hitchpost:p%{PASSWORD}@db.internal/hitchpost",
        f"postgresql://hitchpost:%00{PASSWORD}@db.internal/hitchpost",
        f"postgresql://hitchpost:{PASSWORD}@[::1/hitchpost",
        f"postgresql://hitchpost:{PASSWORD}@db.internal:5432x/hitchpost",
        f"postgresql://hitchpost:{PASSWORD}@db.internal:99999/hitchpost",
        f"postgresql://hitchpost:x@db.internal/hitchpost?{PASSWORD}=1",
        f"postgresql://hitchpost:x@db.internal/hitchpost?sslmode=a={PASSWORD}",
        f"mysql://hitchpost:{PASSWORD}@db.internal/hitchpost",
        f"host=db.internal password={PASSWORD}",
    ],
)
def test_a_broken_database_url_is_never_quoted(url: str) -> None:
    with pytest.raises(ValueError, match=r"must|percent-encoded") as raised:
        check_url(url)
    assert PASSWORD not in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://hitchpost:secret@db.internal/hitchpost",
        "postgres://hitchpost:a%40b%2Fc%25:?#@db.internal:5432/hitchpost?sslmode=require",
        "postgresql://hitchpost@a.internal:5432,b.internal:5433/hitchpost?target_session_attrs=read-write",
        "postgresql://hitchpost@[::1]:5432/hitchpost",
        "postgresql://postgres:@/hitchpost?host=/run/postgresql",
        "postgresql://postgres:@/hitchpost?host=/home/me@work/data",
        "postgresql:///hitchpost?user=me@work",
        "postgresql:///hitchpost",
    ],
)
def test_a_sound_database_url_is_taken(url: str) -> None:
    check_url(url)
    assert Settings(database_url=url).database_url is not None


@pytest.mark.parametrize("setting", ["grpc_address", "web_address"])
@pytest.mark.parametrize(
    ("host", "trouble"),
    [
        ("no such host", "the host of no such host:{} is not found"),
        ("192.0.2.1", "can't listen on 192.0.2.1:{}"),
    ],
)
def test_an_address_that_is_not_this_machines_is_named_at_the_start(
    setting: str, host: str, trouble: str, run_dir: Path
) -> None:
    port = free_port()
    server = new_server(run_dir, "postgresql://127.0.0.1:1/x", **{setting: f"{host}:{port}"})
    said = refused("serve", **server.settings)
    assert said.startswith(f"hitchpost: HITCHPOST_{setting.upper()}: {trouble.format(port)}")
    assert "give an address of this machine, such as 127.0.0.1 or 0.0.0.0" in said
