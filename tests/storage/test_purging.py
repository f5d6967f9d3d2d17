"""What has expired is forgotten: all of it, in batches that have time, and each kind for itself."""

import threading
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from server.rpc.idempotency import OLD_REQUESTS
from server.run import worker
from server.storage import forgetting, models
from server.storage.database import Database
from tests.conftest import Running
from tests.kit.servers import eventually, rows, serving
from tests.kit.support import Client

Sql = Callable[..., list[tuple[Any, ...]]]
PLANT = (
    "INSERT INTO idempotent_request"
    " SELECT %s, number::text, '', '', now() - %s FROM generate_series(1, %s) number"
)


def left(sql: Sql, *clients: Client) -> int:
    ids = [client.project_id for client in clients]
    return int(sql("SELECT count(*) FROM idempotent_request WHERE project_id = ANY(%s)", ids)[0][0])


def turn(more: Callable[[], None] = lambda: None) -> bool:
    return OLD_REQUESTS.turn("me", more, threading.Event())


def forget_all() -> None:
    for _ in range(100):
        if not turn():
            return
    raise AssertionError("there is no end of it")


def test_everything_that_expires_is_forgotten() -> None:
    expiring = {table for table in models.TABLES if "expire_time" in table._meta.fields}
    assert {kind.table for kind in worker.FORGOTTEN} == expiring | {
        models.IdempotentRequest,
        models.SandboxPost,
        models.SandboxMedia,
        models.RateLimit,
    }
    assert {kind.name: (kind.table, kind.kept) for kind in worker.FORGOTTEN} == {
        "confirmations": (models.AuthSession, timedelta(0)),
        "attempts": (models.AuthSession, timedelta(days=1)),
        "requests": (models.IdempotentRequest, timedelta(hours=24)),
        "grants": (models.SandboxGrant, timedelta(0)),
        "sandbox_posts": (models.SandboxPost, timedelta(days=30)),
        "sandbox_media": (models.SandboxMedia, timedelta(days=30)),
        "rate_limits": (models.RateLimit, timedelta(hours=1)),
    }


def test_a_backlog_is_forgotten_in_batches(
    client: Client, new_client: Callable[[], Client], sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    clients = [client, *(new_client() for _ in range(4))]
    for one in clients:
        sql(PLANT, one.project_id, timedelta(hours=25), 500)
    sizes: list[int] = []
    run = Database.run

    def counted(self: Database, statement: Any, arguments: Any) -> Any:
        deleted = run(self, statement, arguments)
        if statement is OLD_REQUESTS._forget:
            sizes.append(len(deleted))
        return deleted

    monkeypatch.setattr(Database, "run", counted)
    forget_all()
    assert left(sql, *clients) == 0
    assert max(sizes) == forgetting.BATCH
    assert sum(sizes) >= 2500


def test_what_has_not_expired_is_kept(client: Client, sql: Sql) -> None:
    sql(PLANT, client.project_id, timedelta(hours=24), 3)
    sql("UPDATE idempotent_request SET create_time = now() - interval '23:59' WHERE request_id = '2'")
    forget_all()
    assert left(sql, client) == 1


def test_a_backlog_keeps_no_other_project_waiting(client: Client, stranger: Client, sql: Sql) -> None:
    forget_all()
    sql(PLANT, client.project_id, timedelta(hours=48), 2500)
    sql(PLANT, stranger.project_id, timedelta(hours=25), 5)
    assert OLD_REQUESTS.backlog().due >= 2505
    again: list[bool] = []
    assert turn(lambda: again.append(True))
    assert again == [True]
    assert left(sql, stranger) == 0
    assert left(sql, client) == 2500 - forgetting.SHARE
    forget_all()
    assert OLD_REQUESTS.backlog() == (0, 0, 0)


def test_a_row_that_is_locked_does_not_hold_up_the_others(client: Client, sql: Sql, running: Running) -> None:
    sql(PLANT, client.project_id, timedelta(hours=25), 3)
    lock = "SELECT FROM idempotent_request WHERE project_id = %s AND request_id = '2' FOR UPDATE"
    with closing(psycopg2.connect(running.database_url)) as other:
        other.cursor().execute(lock, [client.project_id])
        forget_all()
        assert left(sql, client) == 1
        other.rollback()
    forget_all()
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
        assert server.logged(message="can't do what is due", kind="attempts")
        assert not server.logged(message="will do later what is due")
