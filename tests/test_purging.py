"""What has expired is forgotten: all of it, in batches that have time, and each kind for itself."""

import threading
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from server import app, models, purging
from server.database import Database
from server.idempotency import OLD_REQUESTS
from server.identity import utc_now
from tests.conftest import Running
from tests.servers import eventually, rows, serving
from tests.support import Client

Sql = Callable[..., list[tuple[Any, ...]]]
PLANT = (
    "INSERT INTO idempotent_request"
    " SELECT %s, number::text, '', '', now() - %s FROM generate_series(1, %s) number"
)


def left(sql: Sql, client: Client) -> int:
    return int(sql("SELECT count(*) FROM idempotent_request WHERE project_id = %s", client.project_id)[0][0])


def test_everything_that_expires_is_purged() -> None:
    expiring = {table for table in models.TABLES if "expire_time" in table._meta.fields}
    assert {purge.table for purge in app.PURGES} == expiring | {models.IdempotentRequest}
    assert {purge.table: purge.kept for purge in app.PURGES} == {
        models.AuthSession: timedelta(days=1),
        models.IdempotentRequest: timedelta(hours=24),
        models.SandboxGrant: timedelta(0),
    }


def test_a_backlog_is_forgotten_in_batches(client: Client, sql: Sql, monkeypatch: pytest.MonkeyPatch) -> None:
    sql(PLANT, client.project_id, timedelta(hours=25), 2500)
    sizes: list[int] = []
    run = Database.run

    def counted(self: Database, statement: Any, arguments: Any) -> Any:
        deleted = run(self, statement, arguments)
        if statement is OLD_REQUESTS._delete:
            sizes.append(len(deleted))
        return deleted

    monkeypatch.setattr(Database, "run", counted)
    OLD_REQUESTS.run(utc_now(), 30, threading.Event())
    assert left(sql, client) == 0
    assert max(sizes) == purging.BATCH
    assert sum(sizes) >= 2500


def test_a_round_ends_when_its_time_is_over_or_the_process_stops(client: Client, sql: Sql) -> None:
    sql(PLANT, client.project_id, timedelta(hours=25), 2500)
    stop = threading.Event()
    OLD_REQUESTS.run(utc_now(), 0, stop)
    assert left(sql, client) >= 1500
    stop.set()
    OLD_REQUESTS.run(utc_now(), 30, stop)
    assert left(sql, client) >= 500
    OLD_REQUESTS.run(utc_now(), 30, threading.Event())
    assert left(sql, client) == 0


def test_a_row_that_is_locked_does_not_hold_up_the_others(client: Client, sql: Sql, running: Running) -> None:
    sql(PLANT, client.project_id, timedelta(hours=25), 3)
    lock = "SELECT FROM idempotent_request WHERE project_id = %s AND request_id = '2' FOR UPDATE"
    with closing(psycopg2.connect(running.database_url)) as other:
        other.cursor().execute(lock, [client.project_id])
        OLD_REQUESTS.run(utc_now(), 30, threading.Event())
        assert left(sql, client) == 1
        other.rollback()
    OLD_REQUESTS.run(utc_now(), 30, threading.Event())
    assert left(sql, client) == 0


def test_one_kind_that_fails_keeps_no_other_from_running_and_batches_have_time(
    run_dir: Path, new_database: Callable[[], str]
) -> None:
    """The first kind's table is gone; of the second there is more than one statement is given time for."""
    url = new_database()
    rows(url, "ALTER TABLE auth_session RENAME TO away")
    rows(url, "INSERT INTO project VALUES ('p', 'p', '{}', now())")
    rows(url, PLANT, "p", timedelta(hours=25), 4000)
    rows(url, "INSERT INTO sandbox_grant VALUES ('', 'login', 'mia', '{}', now() - interval '1 minute')")
    rows(
        url,
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF (SELECT count(*) > 1000 FROM gone) THEN RAISE 'slow' USING ERRCODE = 'query_canceled'; END IF;"
        " RETURN NULL; END $$;"
        " CREATE TRIGGER slow AFTER DELETE ON idempotent_request REFERENCING OLD TABLE AS gone"
        " FOR EACH STATEMENT EXECUTE FUNCTION slow()",
    )
    with serving(run_dir, url) as server:
        count = "SELECT (SELECT count(*) FROM idempotent_request), (SELECT count(*) FROM sandbox_grant)"
        eventually("both tables are empty", lambda: rows(url, count) == [(0, 0)], 90)
        assert server.logged(message="can't clean up", table="AuthSession")
        assert not server.logged(message="will clean up later")
