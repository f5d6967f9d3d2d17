"""PostgreSQL's own log gets nothing that callers send, whatever goes wrong with their statements."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from psycopg2.extensions import connection as Connection

from server.base import errors
from server.run import embedded, start
from server.storage import statement_log
from server.storage.database import Database
from tests.conftest import ENCRYPTION_KEY
from tests.kit import production
from tests.kit.servers import eventually, hitchpost, local_channel, printed, rows, serving
from tests.kit.support import Client, code_of, unique

CAPTION = "nobody-else-reads-this-caption"
PROFILE = "nobody-else-reads-this-profile"
# How a statement begins, and how psycopg2 writes an encrypted token, which is Fernet's.
STATEMENT, TOKEN = "EXECUTE", b"gAAAA".hex()


@pytest.fixture(scope="module")
def own_postgres(run_dir: Path) -> Iterator[Any]:
    """A PostgreSQL whose processes a test may kill, and which finds deadlocks early."""
    server = embedded.start(run_dir / unique("log"))
    rows(server.get_uri(), "ALTER SYSTEM SET deadlock_timeout = '500ms'")
    rows(server.get_uri(), "SELECT pg_reload_conf()")
    yield server
    server.cleanup()


@contextmanager
def locking(url: str, account_id: str) -> Iterator[Connection]:
    """A transaction that has this account's row, and finds no deadlock itself."""
    with closing(psycopg2.connect(url)) as connection:
        cursor = connection.cursor()
        cursor.execute("SET deadlock_timeout = '1h'")
        cursor.execute("SELECT 1 FROM social_account WHERE id = %s FOR UPDATE", [account_id])
        yield connection


def waiting(url: str) -> list[tuple[Any, ...]]:
    """The process ids of our statements that wait for a lock."""
    ours = "application_name = 'hitchpost' AND wait_event_type = 'Lock'"
    return rows(url, f"SELECT pid FROM pg_stat_activity WHERE {ours}")


def import_again(client: Client) -> str:
    """Writes the profile with new tokens, which waits for its row; the code it ends with."""
    return code_of(lambda: client.connect(PROFILE))


def times_out(url: str, client: Client, account_id: str) -> None:
    """A statement that takes too long."""
    with locking(url, account_id):
        assert import_again(client) == "DEADLINE_EXCEEDED"


def violates_a_key(url: str, client: Client, account_id: str) -> None:
    """A statement that deletes what is referenced."""
    failed = client.fails("SocialAccountService/DeleteSocialAccount", social_account_id=account_id)
    assert failed.what == ("FAILED_PRECONDITION", "SOCIAL_ACCOUNT_HAS_POSTS")


def deadlocks(url: str, client: Client, account_id: str) -> None:
    """A statement that has the first of two rows and waits for the second, whose owner wants the first."""
    first, second = sorted([account_id, client.connect().id])
    codes: list[str] = []

    def post() -> None:
        codes.append(code_of(lambda: client.draft(first, second, caption=CAPTION)))

    # PostgreSQL looks for a deadlock once, half a second after a wait began, for which we may be too late.
    for _ in range(10):
        with locking(url, second) as connection:
            thread = threading.Thread(target=post)
            thread.start()
            eventually("the post waits for the second account", lambda: waiting(url), every=0.01)
            connection.cursor().execute("SELECT 1 FROM social_account WHERE id = %s FOR UPDATE", [first])
            thread.join(20)
        if codes[-1] == "ABORTED":
            return
    raise AssertionError(codes)


def loses_its_process(url: str, client: Client, account_id: str, number: int) -> None:
    """A statement whose process in PostgreSQL is told to end, or is killed, which ends all others, too."""
    with suppress(psycopg2.OperationalError), locking(url, account_id):
        codes: list[str] = []
        thread = threading.Thread(target=lambda: codes.append(import_again(client)))
        thread.start()
        [(pid,)] = eventually("the import waits", lambda: waiting(url), every=0.01)
        os.kill(pid, number)
        thread.join(20)
        assert codes == ["UNAVAILABLE"]


def test_postgresqls_log_has_nothing_of_a_callers(run_dir: Path, own_postgres: Any) -> None:
    url = own_postgres.get_uri()
    with (
        serving(run_dir, url, statement_timeout="3") as server,
        closing(local_channel(server.address)) as channel,
    ):
        client = server.new_client(channel)
        account_id = client.connect(PROFILE).id
        client.draft(account_id, caption=CAPTION)
        for fail in (times_out, violates_a_key, deadlocks):
            fail(url, client, account_id)
        loses_its_process(url, client, account_id, signal.SIGTERM)
        loses_its_process(url, client, account_id, signal.SIGKILL)
        eventually("PostgreSQL is back", lambda: list_accounts(client) == "OK")
    log = own_postgres.log.read_text()
    for happened in (
        "canceling statement due to statement timeout",
        "foreign key constraint",
        "deadlock detected",
        "terminating connection due to administrator command",
        "was terminated by signal 9",
    ):
        assert happened in log, happened
    for secret in (account_id, CAPTION, PROFILE, STATEMENT, TOKEN):
        assert secret not in log, [line for line in log.splitlines() if secret in line]


def list_accounts(client: Client) -> str:
    """The code of a call that reads."""
    return code_of(lambda: client("SocialAccountService/ListSocialAccounts", timeout=10))


def fails_with(url: str, value: str) -> None:
    """Runs statements that fail with this value in them, on a connection as servers have them."""
    database = Database()
    database.configure(url, timedelta(seconds=5))
    try:
        with pytest.raises(psycopg2.errors.DivisionByZero):
            database.fetch("SELECT 1 / 0, %s", [value])
        with pytest.raises(errors.HitchpostError):
            database.fetch("SET statement_timeout = 10; SELECT pg_sleep(10), %s", [value])
        database.fetch("SELECT %s", [value])
    finally:
        database.close()


def test_an_ordinary_role_needs_the_grant_that_doctor_prints(
    own_postgres: Any, caplog: pytest.LogCaptureFixture
) -> None:
    owner = own_postgres.get_uri()
    role = own_postgres.get_uri(database="plain").replace("//postgres:@", "//Plain:@")
    rows(owner, 'CREATE ROLE "Plain" LOGIN')
    rows(owner, 'CREATE DATABASE plain OWNER "Plain"')
    # As an administrator may have set them; the embedded server's own log is terse.
    for setting in (
        "log_error_verbosity = 'default'",
        "log_min_duration_statement = 0",
        "log_statement = 'all'",
    ):
        rows(owner, f'ALTER ROLE "Plain" SET {setting}')
    fails_with(role, "seen-before-the-grant")
    assert own_postgres.log.read_text().count("seen-before-the-grant") >= 3
    assert warned_of(role, caplog)
    said = diagnosed(role)
    assert said.startswith("FAIL")
    assert "log_min_error_statement is error" in said
    grant = said.partition("as a superuser: ")[2]
    names = "log_min_error_statement, log_error_verbosity, log_statement, log_min_duration_statement"
    assert grant == f'GRANT SET ON PARAMETER {names} TO "Plain";'
    rows(owner, grant)
    fails_with(role, "seen-after-the-grant")
    assert "division by zero" in own_postgres.log.read_text()
    assert "seen-after-the-grant" not in own_postgres.log.read_text()
    assert diagnosed(role).startswith("ok ")
    assert not warned_of(role, caplog)


def test_what_the_production_page_makes_is_all_that_doctor_wants(own_postgres: Any) -> None:
    for statement in production.statements():
        rows(own_postgres.get_uri(), statement)
    # As it is by default; the embedded server's own log is terse.
    rows(own_postgres.get_uri(), "ALTER ROLE hitchpost SET log_error_verbosity = 'default'")
    url = own_postgres.get_uri(database="hitchpost").replace("//postgres:@", "//hitchpost:@")
    settings = {"database_url": url, "encryption_keys": ENCRYPTION_KEY}
    printed("migrate", **settings)
    printed("projects", "create", "my-app", **settings)
    printed("keys", "create", "my-app", **settings)
    assert "FAIL" not in printed("doctor", **settings)


def warned_of(url: str, caplog: pytest.LogCaptureFixture) -> list[str]:
    """What serve logs at its start about PostgreSQL's log."""
    database = Database()
    database.configure(url, timedelta(seconds=5))
    caplog.clear()
    start.warn_of_statement_log(database)
    database.close()
    return [message for message in caplog.messages if message == "PostgreSQL logs what callers send"]


def diagnosed(url: str) -> str:
    """What doctor says about PostgreSQL's log."""
    ran = hitchpost("doctor", database_url=url, encryption_keys=ENCRYPTION_KEY)
    [line] = [line for line in ran.stdout.splitlines() if "  PostgreSQL's log: " in line]
    return line


@pytest.mark.parametrize("name", statement_log.QUIET)
def test_every_quiet_value_is_one_that_postgresql_takes(name: str, postgres: Any) -> None:
    value = statement_log.QUIET[name]
    assert rows(postgres.get_uri(), f"SET {name} = '{value}'; SHOW {name}") == [(value,)]


def test_a_new_connection_costs_one_round_trip_for_it(postgres: Any) -> None:
    with closing(psycopg2.connect(postgres.get_uri())) as connection:
        hush = statement_log.hush(connection.server_version)
        connection.cursor().execute(hush)
        left = connection.cursor()
        left.execute(statement_log.LOUD)
        assert left.fetchall() == []
    assert ";" not in hush
    assert statement_log.hush(140_010) == ""
