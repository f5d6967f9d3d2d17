"""The worker process: every kind has a handler, what is begun is finished at a stop, and health is true."""

import dataclasses
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import httpx2
import pytest

from generated.hitchpost.v1 import platform_pb2
from server.accounts.revocations import KIND
from server.base.vault import Vault
from server.run import worker as worker_role
from server.run.worker import Health, due_work
from server.storage import models, worker
from server.storage.due_work import Handling, Leased
from server.storage.worker import Worker
from tests.conftest import ENCRYPTION_KEY, Running
from tests.kit.due import work_off
from tests.kit.servers import eventually
from tests.kit.support import Client, free_port

Sql = Callable[..., list[tuple[Any, ...]]]
TOKENS = Vault(ENCRYPTION_KEY).encrypt("secret-0-kept")
PLANT = """
    INSERT INTO token_revocation
    SELECT project.id, 'tr_' || n, %s, 'sa_1', %s, NULL, now(), now() - %s, NULL, 0, NULL
    FROM project, generate_series(1, %s) n WHERE project.id = %s"""


REFUSE = """
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
    CREATE TRIGGER refuse BEFORE UPDATE ON token_revocation FOR EACH ROW EXECUTE FUNCTION refuse()"""


def plant(sql: Sql, project_id: str, number: int, late: timedelta = timedelta(0)) -> None:
    sql(PLANT, platform_pb2.PLATFORM_SANDBOX, TOKENS, late, number, project_id)


def test_every_table_of_due_work_has_a_kind_and_every_kind_a_handler(running: Running) -> None:
    tables = {table._meta.table_name for table in models.TABLES if "due_time" in table._meta.fields}
    assert tables == {kind.table for kind in worker_role.LEASED}
    names = [kind.name for kind in worker_role.KINDS]
    assert [work.name for work in due_work(running.app)] == names
    assert len(set(names)) == len(names)


class Held(Handling[Any]):
    """Handles one row at a time, when it may."""

    every = 3600.0

    def __init__(self) -> None:
        super().__init__(KIND, self.handled)
        self.begun, self.may_end = threading.Semaphore(0), threading.Event()

    def handled(self, leased: Leased[Any]) -> None:
        self.begun.release()
        assert self.may_end.wait(30)
        KIND.delete(leased)


@pytest.fixture
def held(running: Running) -> Iterator[Held]:
    """Until the test's end at the latest."""
    work_off(running.app)
    held = Held()
    yield held
    held.may_end.set()


def test_at_a_stop_what_is_begun_is_finished_and_the_rest_given_back(
    client: Client, stranger: Client, sql: Sql, held: Held
) -> None:
    plant(sql, client.project_id, 2)
    plant(sql, stranger.project_id, 2)
    process = Worker([held], threads=1)
    process.start()
    assert held.begun.acquire(timeout=20)
    stopping = threading.Thread(target=lambda: stopped.append(process.stop(20)))
    stopped: list[bool] = []
    stopping.start()
    eventually("it is stopping", process._stop.is_set)
    held.may_end.set()
    stopping.join(30)
    assert stopped == [True]
    left = "SELECT lease_time, worker, due_time <= now() FROM token_revocation WHERE project_id = ANY(%s)"
    assert sql(left, [client.project_id, stranger.project_id]) == [(None, None, True)] * 3


def test_a_stop_does_not_wait_longer_than_it_is_given(client: Client, sql: Sql, held: Held) -> None:
    plant(sql, client.project_id, 1)
    process = Worker([held], threads=1)
    process.start()
    assert held.begun.acquire(timeout=20)
    assert not process.stop(0.01)
    # Another worker takes it when the lease has run out.
    held_by = "SELECT worker, lease_time IS NOT NULL FROM token_revocation WHERE project_id = %s"
    assert sql(held_by, client.project_id) == [(process.name, True)]


def test_a_worker_serves_unless_rows_are_late_and_it_leases_nothing(
    client: Client, sql: Sql, running: Running
) -> None:
    work_off(running.app)
    process = Worker([Held()], threads=1)
    health = Health(process)
    state = process._states["revocations"]

    def look(late: int, idle: float) -> bool:
        sql("DELETE FROM token_revocation")
        plant(sql, client.project_id, 1, timedelta(seconds=late))
        state.leased_at = worker.time.monotonic() - idle
        health.look()
        return health.trouble is None

    assert look(late=0, idle=600)
    assert look(late=50, idle=600)
    assert not look(late=70, idle=61)
    assert health.trouble is not None
    assert health.trouble.startswith("revocations: due for 7")
    assert look(late=70, idle=50)
    work_off(running.app)


def test_the_process_says_over_http_whether_it_serves(
    client: Client,
    sql: Sql,
    running: Running,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A trigger lets nobody lease, and a row is late at once; without the trigger all is well again.

    Why is in the log alone.
    """
    monkeypatch.setattr(worker_role, "CHECK_SECONDS", 0.05)
    monkeypatch.setattr(worker, "LATE_SECONDS", 0.0)
    address = f"127.0.0.1:{free_port()}"
    settings = running.settings.model_copy(update={"worker_address": address})
    ready, stop = threading.Event(), threading.Event()
    arguments = [dataclasses.replace(running.app, settings=settings), ready, stop]
    process = threading.Thread(target=worker_role.serve_worker, args=arguments)

    def said() -> tuple[int, str]:
        answer = httpx2.get(f"http://{address}/healthz", trust_env=False)
        return answer.status_code, answer.json()["status"]

    sql(REFUSE)
    try:
        process.start()
        assert ready.wait(20)
        assert said() == (200, "SERVING")
        plant(sql, client.project_id, 1)
        eventually("it says that it does not serve", lambda: said() == (503, "NOT_SERVING"))
        [said_why] = [record for record in caplog.records if record.msg == "the worker is NOT_SERVING"]
        assert said_why.__dict__["cause"].startswith("revocations: due for ")
        sql("DROP FUNCTION refuse CASCADE")
        eventually("it serves again", lambda: said() == (200, "SERVING"))
    finally:
        sql("DROP FUNCTION IF EXISTS refuse CASCADE")
        stop.set()
        process.join(20)
    assert not process.is_alive()
