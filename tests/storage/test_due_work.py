"""Rows that are due are leased, each by one worker at a time, fairly, and outcomes are fenced."""

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from typing import Any, NamedTuple

import psycopg2
import pytest

from server.base.errors import DatabaseUnavailable
from server.storage.database import database
from server.storage.due_rows import Backlog
from server.storage.due_work import CHANNEL, Handling, Kind, Leased, backoff, wake
from server.storage.worker import Worker
from tests.conftest import Running
from tests.kit import statements  # noqa: F401 (has the server's, before there are those of this file)
from tests.kit.metrics import Growth
from tests.kit.servers import eventually

Sql = Callable[..., list[tuple[Any, ...]]]


class Chore(NamedTuple):
    """A row of the kind that these tests are made with."""

    project_id: str
    id: str


CHORES = Kind("chores", "chore", Chore, batch=6, share=2, seconds=60)
OUTCOMES: dict[str, Callable[[Leased[Chore]], bool]] = {
    "done": CHORES.done,
    "retry": lambda leased: CHORES.retry(leased, 5),
    "renew": CHORES.renew,
    "delete": CHORES.delete,
}


@pytest.fixture(scope="module")
def _table(running: Running) -> Iterator[None]:
    with closing(psycopg2.connect(running.database_url)) as connection:
        connection.autocommit = True
        connection.cursor().execute(
            """CREATE TABLE chore (project_id text COLLATE "C", id text, due_time timestamptz,
            lease_time timestamptz, attempt integer NOT NULL DEFAULT 0, worker text,
            PRIMARY KEY (project_id, id));
            CREATE INDEX ON chore (project_id, due_time) WHERE due_time IS NOT NULL"""
        )
        yield
        connection.cursor().execute("DROP TABLE chore")


@pytest.fixture
def plant(_table: None, sql: Sql) -> Callable[..., None]:
    """plant(project, how many, seconds until they are due): rows of an otherwise empty table."""
    sql("TRUNCATE chore")

    def rows(project: str, number: int, due: float = -1) -> None:
        sql(
            "INSERT INTO chore SELECT %s, n::text, now() + %s * interval '1 s' + n * interval '1 us'"
            " FROM generate_series(1, %s) n",
            project,
            due,
            number,
        )

    return rows


@pytest.fixture
def at_work() -> Iterator[Callable[..., Worker]]:
    """Starts a worker for these kinds."""
    started: list[Worker] = []

    def start(*works: Any, threads: int = 2) -> Worker:
        worker = Worker(works, threads)
        started.append(worker)
        worker.start()
        return worker

    yield start
    for worker in started:
        assert worker.stop(20)


def taken() -> list[tuple[str, str]]:
    """What a lease gets now."""
    return [tuple(leased.row) for leased in CHORES.lease("me")]


def test_what_is_due_is_leased_once(plant: Callable[..., None], sql: Sql) -> None:
    plant("p", 1)
    plant("q", 1, due=3600)
    sql("INSERT INTO chore VALUES ('r', '1', NULL)")
    [leased] = CHORES.lease("me")
    assert (leased.row, leased.attempt, leased.ran_out) == (Chore("p", "1"), 1, False)
    found = "SELECT worker, lease_time, due_time - lease_time = interval '60 s' FROM chore WHERE attempt = 1"
    assert sql(found) == [("me", leased.lease_time, True)]
    assert taken() == []


def test_a_batch_has_a_few_of_every_project_the_oldest_first(plant: Callable[..., None]) -> None:
    plant("busy", 100, due=-3600)
    plant("one", 1)
    plant("two", 5)
    assert sorted(taken()) == [("busy", "1"), ("busy", "2"), ("one", "1"), ("two", "1"), ("two", "2")]
    assert sorted(taken()) == [("busy", "3"), ("busy", "4"), ("two", "3"), ("two", "4")]


def test_a_batch_ends_and_no_project_is_always_last(plant: Callable[..., None]) -> None:
    projects = [f"p{number}" for number in range(8)]
    for project in projects:
        plant(project, 40)
    batches = [Counter(project for project, _ in taken()) for _ in range(20)]
    assert all(batch.total() == 6 and set(batch.values()) == {2} for batch in batches)
    assert {project for batch in batches for project in batch} == set(projects)


def test_a_lease_that_ran_out_is_told_from_one_that_was_given_back(
    plant: Callable[..., None], sql: Sql
) -> None:
    plant("p", 1)
    CHORES.lease("me")
    assert CHORES.backlog() == Backlog(0, 0, 0)
    sql("UPDATE chore SET due_time = now() - interval '90 s'")
    due, late, ran_out = CHORES.backlog()
    assert (due, 90 <= late < 120, ran_out) == (1, True, 1)
    grown = Growth()
    [again] = CHORES.lease("other")
    assert (again.attempt, again.ran_out) == (2, True)
    assert CHORES.retry(again, 0)
    [third] = CHORES.lease("me")
    assert (third.attempt, third.ran_out) == (3, False)
    assert grown.of("due_work_retaken_total", kind="chores") == 1


def test_outcomes_are_counted_once_they_are_recorded(plant: Callable[..., None]) -> None:
    plant("p", 1)
    plant("q", 1)
    grown = Growth()
    one, two = CHORES.lease("me")
    assert CHORES.renew(one)
    assert CHORES.done(one)
    assert not CHORES.done(one)
    assert CHORES.retry(two, 5)
    assert grown.of("due_work_attempts_total", kind="chores", outcome="done") == 1
    assert grown.of("due_work_attempts_total", kind="chores", outcome="retried") == 1
    assert grown.of("due_work_attempts_total", kind="chores") == 2


def test_a_handler_that_fails_is_counted_as_that(plant: Callable[..., None]) -> None:
    def handle(leased: Leased[Chore]) -> None:
        raise {"p": RuntimeError("a defect"), "q": DatabaseUnavailable()}[leased.row.project_id]

    plant("p", 1)
    plant("q", 1)
    grown, work, stop = Growth(), Handling(CHORES, handle), threading.Event()
    for _ in range(2):
        with suppress(DatabaseUnavailable):
            work.turn("me", lambda: None, stop)
    assert grown.of("due_work_attempts_total", kind="chores", outcome="failed") == 2
    assert grown.of("due_work_attempts_total", kind="chores") == 2


_ROW = "SELECT * FROM chore WHERE project_id = 'p'"
_OTHERS = "SELECT * FROM chore WHERE project_id = 'q'"
_RUN_OUT = "UPDATE chore SET due_time = now() WHERE lease_time IS NOT NULL"
# Whether an outcome counts of who leased a row to which this has happened since.
SINCE = {
    "nothing": (lambda sql, leased: None, True),
    "the lease ran out": (lambda sql, leased: sql(_RUN_OUT), True),
    "another leased it": (
        lambda sql, leased: (sql(_RUN_OUT), CHORES.lease("other")),
        False,
    ),
    "an outcome was recorded": (lambda sql, leased: CHORES.done(leased), False),
    "it was given back": (lambda sql, leased: CHORES.retry(leased, 0), False),
    "it has gone": (lambda sql, leased: sql("DELETE FROM chore"), False),
}


@pytest.mark.parametrize("outcome", OUTCOMES)
@pytest.mark.parametrize("since", SINCE)
def test_an_outcome_counts_only_of_who_holds_the_row(
    since: str, outcome: str, plant: Callable[..., None], sql: Sql
) -> None:
    plant("p", 1)
    plant("q", 1, due=3600)
    [leased] = CHORES.lease("me")
    happens, ours = SINCE[since]
    happens(sql, leased)
    before, others = sql(_ROW), sql(_OTHERS)
    assert OUTCOMES[outcome](leased) == ours
    assert (sql(_ROW) == before) == (not ours)
    assert sql(_OTHERS) == others


def test_what_an_outcome_does(plant: Callable[..., None], sql: Sql) -> None:
    plant("p", 2)
    one, other = CHORES.lease("me")
    held = "SELECT due_time > now() + interval '59 s', worker FROM chore WHERE id = %s"
    sql("UPDATE chore SET due_time = now() WHERE id = %s", one.row.id)
    assert CHORES.renew(one)
    assert sql(held, one.row.id) == [(True, "me")]
    assert CHORES.done(one)
    assert sql("SELECT due_time, lease_time, worker FROM chore WHERE id = %s", one.row.id) == [(None,) * 3]
    assert CHORES.retry(other, 600)
    assert sql("SELECT due_time > now() + interval '590 s', lease_time, worker FROM chore WHERE id = %s"
               , other.row.id) == [(True, None, None)]  # fmt: skip


def test_no_two_workers_hold_one_row(plant: Callable[..., None]) -> None:
    for number in range(10):
        plant(f"p{number}", 30)

    def work(name: int) -> list[Leased[Chore]]:
        try:
            batches = iter(lambda: CHORES.lease(str(name)), [])
            return [leased for batch in batches for leased in batch]
        finally:
            database.close()

    with ThreadPoolExecutor(8) as pool:
        leased = [one for batches in pool.map(work, range(8)) for one in batches]
    assert Counter(one.row for one in leased).most_common(1)[0][1] == 1
    assert {one.attempt for one in leased} == {1}
    # What others had locked just then is left for the next look.
    assert len(leased) + len(taken()) >= 290


def test_a_row_that_is_locked_is_passed_by(plant: Callable[..., None], running: Running) -> None:
    plant("p", 3)
    with closing(psycopg2.connect(running.database_url)) as other:
        other.cursor().execute("SELECT FROM chore WHERE id = '1' FOR UPDATE")
        assert sorted(taken()) == [("p", "2"), ("p", "3")]


def test_a_commit_wakes_and_a_rollback_does_not(running: Running) -> None:
    assert database.notifications(CHANNEL, 0) == []
    with database.transaction():
        wake("chores")
    assert database.notifications(CHANNEL, 20) == ["chores"]
    with suppress(ZeroDivisionError), database.transaction():
        wake("chores")
        raise ZeroDivisionError
    with database.transaction():
        wake("others")
    assert database.notifications(CHANNEL, 20) == ["others"]


class Handled(Handling[Chore]):
    """Remembers what it has handled, and deletes it."""

    def __init__(self, every: float) -> None:
        super().__init__(CHORES, self.handled)
        self.every = every
        self.rows: list[Chore] = []
        self.looks = 0

    def turn(self, worker: str, more: Callable[[], None], stop: threading.Event) -> bool:
        found = super().turn(worker, more, stop)
        self.looks += 1
        return found

    def handled(self, leased: Leased[Chore]) -> None:
        self.rows.append(leased.row)
        CHORES.delete(leased)


def listening(sql: Sql) -> list[tuple[int]]:
    return sql(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN %%'"
        " AND state = 'idle'"
    )


def test_a_notify_wakes_a_worker_also_after_its_connection_was_lost(
    plant: Callable[..., None], at_work: Callable[..., Worker], sql: Sql
) -> None:
    chores = Handled(every=3600)
    at_work(chores)
    for project, handled in (("p", 5), ("q", 10)):
        [(pid,)] = eventually("it listens", lambda: listening(sql))
        plant(project, 5)
        wake("chores")
        eventually("the rows are handled", lambda: len(chores.rows) == handled)  # noqa: B023
        sql("SELECT pg_terminate_backend(%s, 5000)", pid)


def test_what_a_lost_notify_left_is_found(plant: Callable[..., None], at_work: Callable[..., Worker]) -> None:
    chores = Handled(every=0.05)
    at_work(chores)
    eventually("it has looked, and found nothing", lambda: chores.looks)
    plant("p", 1)
    eventually("the row is handled", lambda: chores.rows)


class Endless:
    """A kind that keeps every thread that it gets."""

    name, every = "endless", 0.01

    def __init__(self) -> None:
        self.end, self.begun = threading.Event(), threading.Semaphore(0)

    def turn(self, worker: str, more: Callable[[], None], stop: threading.Event) -> bool:
        more()
        self.begun.release()
        return self.end.wait(60)

    def backlog(self) -> Backlog:
        return Backlog(1, 0.0, 0)


def test_a_slow_kind_leaves_a_thread_to_the_others(
    plant: Callable[..., None], at_work: Callable[..., Worker]
) -> None:
    slow, chores = Endless(), Handled(every=0.05)
    at_work(slow, chores, threads=3)
    try:
        assert all(slow.begun.acquire(timeout=20) for _ in range(2))
        plant("p", 20)
        eventually("the rows are handled", lambda: len(chores.rows) == 20)
    finally:
        slow.end.set()


def test_what_fails_unexpectedly_is_logged_and_tried_again(
    plant: Callable[..., None], sql: Sql, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(leased: Leased[Chore]) -> None:
        raise ZeroDivisionError

    plant("p", 1)
    with caplog.at_level(logging.ERROR):
        assert Handling(CHORES, fail).turn("me", lambda: None, threading.Event())
    assert [record.message for record in caplog.records] == ["due work failed"]
    again = "SELECT due_time > now() + interval '2 s', lease_time FROM chore"
    assert sql(again) == [(True, None)]


@pytest.mark.parametrize(
    ("attempt", "least", "most"),
    [(1, 2.5, 5), (2, 5, 10), (5, 40, 80), (20, 1800, 3600), (10**6, 1800, 3600)],
)
def test_backoff_doubles_to_a_limit_with_jitter(attempt: int, least: float, most: float) -> None:
    delays = [backoff(attempt) for _ in range(200)]
    assert least <= min(delays) < max(delays) <= most
    assert max(delays) - min(delays) > (most - least) / 2
