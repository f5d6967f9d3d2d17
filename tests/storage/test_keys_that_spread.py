"""Migration 0004, on rows that the version before wrote: nothing is lost, nobody held up, and it can go on
when interrupted; the version before can serve until the last step."""

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import peewee
import psycopg2
import pytest
from google.protobuf.json_format import MessageToDict, ParseDict
from psycopg2 import errors as pg

from server.storage import online, schema
from server.storage.database import CONSTRAINT_ERRORS, Database
from tests.conftest import ENCRYPTION_KEY
from tests.kit.servers import eventually, hitchpost, local_channel, new_server, printed, rows, started
from tests.kit.support import MESSAGES, Client, unique
from tests.storage import version_before

SPREAD = {"0004_keys_that_spread"}
MakeDatabase = Callable[[], str]


@pytest.fixture(scope="module")
def old_template(postgres: Any) -> str:
    """The name of a database that the version before has written to."""
    name = unique("before").replace("-", "_")
    rows(postgres.get_uri(), f"CREATE DATABASE {name} TEMPLATE template1")
    version_before.migrate(postgres.get_uri(database=name))
    version_before.write(postgres.get_uri(database=name))
    return name


@pytest.fixture
def old(postgres: Any, old_template: str) -> str:
    """The URL of a copy of it."""
    name = unique("old").replace("-", "_")
    rows(postgres.get_uri(), f"CREATE DATABASE {name} TEMPLATE {old_template}")
    return str(postgres.get_uri(database=name))


def migrate(url: str, *, finish: bool = False) -> list[str]:
    """As a server does, or `hitchpost migrate --finish`."""
    database = Database()
    database.configure(url, timedelta(seconds=5))
    return schema.migrate(database, finish=finish)


def looks(url: str) -> list[tuple[Any, ...]]:
    """Columns, indexes, constraints, triggers and functions."""
    return rows(
        url,
        """
        SELECT attrelid::regclass::text, attname::text, attnotnull::text, format_type(atttypid, atttypmod)
          FROM pg_attribute JOIN pg_class ON oid = attrelid AND relkind = 'r' AND attnum > 0
           AND NOT attisdropped WHERE relnamespace = 'public'::regnamespace
        UNION ALL SELECT 'index', indexrelid::regclass::text, pg_get_indexdef(indexrelid), indisvalid::text
          FROM pg_index JOIN pg_class ON oid = indexrelid AND relnamespace = 'public'::regnamespace
        UNION ALL SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid), convalidated::text
          FROM pg_constraint WHERE connamespace = 'public'::regnamespace
        UNION ALL SELECT 'trigger', tgname, '', '' FROM pg_trigger WHERE NOT tgisinternal
        UNION ALL SELECT 'function', proname, '', '' FROM pg_proc WHERE pronamespace = 'public'::regnamespace
        ORDER BY 1, 2, 3""",
    )


# Afterwards.


@pytest.mark.parametrize("finish", [False, True])
def test_every_row_is_as_before_and_knows_its_project(old: str, finish: bool) -> None:
    before = version_before.stored(old)
    assert all(before.values())
    migrate(old, finish=finish)
    assert version_before.stored(old, before) == before
    for table in ("social_account_token", "social_post_target"):
        wrong = f"""SELECT * FROM {table} t JOIN social_account a ON a.id = t.social_account_id
            WHERE t.project_id IS DISTINCT FROM a.project_id"""
        assert rows(old, wrong) == []


def test_finished_it_is_as_a_new_database(old: str, new_database: MakeDatabase) -> None:
    migrate(old, finish=True)
    assert looks(old) == looks(new_database())


def test_the_project_is_in_every_key(new_database: MakeDatabase) -> None:
    """Of the tables that belong to a project; a key and an attempt are found without it, and what was done to
    keys may concern none."""
    without = rows(
        new_database(),
        """
        WITH keys AS (
          SELECT conrelid AS relation, conname AS name, conkey AS columns FROM pg_constraint
           WHERE contype IN ('p', 'f') AND conparentid = 0
          UNION SELECT indrelid, relname, indkey::int2[] FROM pg_index JOIN pg_class ON oid = indexrelid
           WHERE indisunique)
        SELECT DISTINCT name FROM keys JOIN pg_attribute ON attrelid = relation AND attname = 'project_id'
         WHERE attnum <> ALL (columns) ORDER BY 1""",
    )
    assert [name for (name,) in without] == [
        "admin_event_pkey",
        "api_key_hash",
        "api_key_pkey",
        "auth_session_pkey",
    ]


def test_it_answers_as_the_version_before_did(old: str, run_dir: Path) -> None:
    """Lists, posts, accounts, and who may have a profile; the server migrates as it starts."""
    keys = {}
    for project_id, name in rows(old, "SELECT id, name FROM project"):
        keys[name] = f"hp_{name:x<43}"
        insert = "INSERT INTO api_key VALUES (%s, %s, 'test', %s, false, now())"
        rows(old, insert, f"key_{name}", project_id, hashlib.sha256(keys[name].encode()).digest())
    # Or its worker might forget them while we look.
    rows(old, "UPDATE idempotent_request SET create_time = now()")
    rows(old, "UPDATE auth_session SET expire_time = now() + interval '1 hour'")
    before = version_before.stored(old)
    with started(new_server(run_dir, old)) as server, closing(local_channel(server.address)) as channel:
        for row in version_before.ANSWERED:
            method = row["call"]
            request = ParseDict(row["request"], MESSAGES[method].input_type._concrete_class())
            client = Client(channel, keys[row["project"]], owner=row["owner"])
            if "fails" in row:
                assert [*client.fails(method, request).what] == row["fails"], row
            else:
                answer = MessageToDict(client(method, request), preserving_proto_field_name=True)
                assert _known(answer, row["answer"]) == row["answer"], row
    assert version_before.stored(old, before) == before


def _known(answer: Any, before: Any) -> Any:
    """Of an answer what the version before knew: contracts grow."""
    if isinstance(answer, dict) and isinstance(before, dict):
        return {name: _known(value, before[name]) for name, value in answer.items() if name in before}
    if isinstance(answer, list) and isinstance(before, list) and len(answer) == len(before):
        return [_known(*both) for both in zip(answer, before, strict=True)]
    return answer


def test_an_account_with_posts_is_told_by_the_name_of_its_constraint(old: str) -> None:
    """The name that servers of both versions know."""
    for finish in (False, True):
        migrate(old, finish=finish)
        with pytest.raises(pg.IntegrityError) as refused:
            rows(old, "DELETE FROM social_account a USING social_post_target WHERE social_account_id = a.id")
        assert refused.value.diag.constraint_name in CONSTRAINT_ERRORS


# While the version before serves.


@contextmanager
def after_each_statement(monkeypatch: pytest.MonkeyPatch, then: Callable[[int], None]) -> Iterator[None]:
    """Inside, `then` is called with the number of each statement that a migration has run and committed."""
    run, count = peewee.PostgresqlDatabase.execute_sql, 0

    def counted(db: peewee.PostgresqlDatabase, sql: str, *arguments: Any) -> Any:
        nonlocal count
        cursor = run(db, sql, *arguments)
        if not db.in_transaction():
            count += 1
            then(count)
        return cursor

    with monkeypatch.context() as patched:
        patched.setattr(peewee.PostgresqlDatabase, "execute_sql", counted)
        yield


def test_the_version_before_can_write_after_every_step(old: str, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = 0
    with closing(psycopg2.connect(old)) as connection:
        connection.autocommit = True
        cursor = connection.cursor()

        def write(number: int) -> None:
            nonlocal steps
            steps = number
            version_before.write_again(cursor)

        with after_each_statement(monkeypatch, write):
            assert set(migrate(old)) >= SPREAD
        assert steps > 20
        migrate(old, finish=True)
        with pytest.raises(psycopg2.Error):
            version_before.write_again(cursor)


def test_what_it_writes_meanwhile_gets_its_project(old: str, postgres: Any) -> None:
    name = unique("expanded").replace("-", "_")
    rows(postgres.get_uri(), f"CREATE DATABASE {name} TEMPLATE template1")
    url = postgres.get_uri(database=name)
    version_before.migrate(url)
    migrate(url)
    version_before.write(url)
    before = version_before.stored(old)
    migrate(old)
    assert version_before.stored(url, before) == before
    for table in ("social_account_token", "social_post_target"):
        projects = f"SELECT project_id, social_account_id FROM {table} ORDER BY 2, 1"
        assert rows(url, projects) == rows(old, projects)


def test_what_it_relied_on_stays_until_it_is_gone(old: str) -> None:
    database = Database()
    database.configure(old, timedelta(seconds=5))
    assert set(schema.pending(database)) >= SPREAD
    assert set(migrate(old)) >= SPREAD
    assert schema.pending(database) == []
    left = schema.unfinished(database)
    assert left
    assert migrate(old) == []
    assert migrate(old, finish=True) == left
    assert schema.unfinished(database) == []
    database.close()


def test_an_operator_is_reminded_to_finish(old: str) -> None:
    settings = {"database_url": old, "encryption_keys": ENCRYPTION_KEY}
    migrate(old)
    assert "hitchpost migrate --finish" in hitchpost("doctor", **settings).stdout
    assert printed("migrate", "--finish", **settings) == (
        "applied: 0004_keys_that_spread_finish, 0005_due_work_finish, 0009_publishing_finish\n"
    )
    assert "migrations: all applied\n" in hitchpost("doctor", **settings).stdout


@contextmanager
def in_a_thread(work: Callable[[], Any]) -> Iterator[list[Any]]:
    """Runs it beside the block, which ends when the work has; its result is in the list then."""
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(work()))
    thread.start()
    try:
        yield results
    finally:
        thread.join(30)
        assert not thread.is_alive()


def test_a_lock_that_others_keep_holds_nobody_up(old: str) -> None:
    """Who waits in a queue for the table makes all others wait behind it: we leave the queue again."""
    waiting = "SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'social_account_token'::regclass"
    touch = "SET statement_timeout = 2000; UPDATE social_account_token SET access_token = access_token"
    with closing(psycopg2.connect(old)) as holder:
        holder.cursor().execute("LOCK TABLE social_account_token IN ROW EXCLUSIVE MODE")
        with in_a_thread(lambda: migrate(old)) as applied:
            try:
                eventually("the migration waits", lambda: rows(old, waiting), every=0.01)
                for _ in range(3):
                    rows(old, touch)
                assert not applied
            finally:
                holder.rollback()
    assert set(applied[0]) >= SPREAD


def test_a_row_that_others_have_locked_comes_last(old: str) -> None:
    rows(old, "ALTER TABLE social_account_token ADD COLUMN project_id text")
    [(account_id,)] = rows(old, "SELECT min(social_account_id) FROM social_account_token")
    left = "SELECT social_account_id FROM social_account_token WHERE project_id IS NULL"
    lock = "SELECT 1 FROM social_account_token WHERE social_account_id = %s FOR UPDATE"

    def fill() -> bool:
        db = peewee.PostgresqlDatabase(old)
        with db.connection_context():
            online.fill(db, "social_account_token", "project_id", "'mine'", "social_account_id")
        return True

    with closing(psycopg2.connect(old)) as holder:
        holder.cursor().execute(lock, [account_id])
        with in_a_thread(fill) as filled:
            try:
                eventually("the others are filled", lambda: rows(old, left) == [(account_id,)], 10, 0.01)
                assert not filled
            finally:
                holder.rollback()
    assert filled == [True]
    assert rows(old, left) == []


# Interrupted, and more than one at once.


class Killed(Exception):
    """Stands for the end of the migrating process."""


def test_interrupted_anywhere_it_goes_on(
    old: str, new_database: MakeDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut short after its first statement, then after its second, and so on, until it comes through."""
    before = version_before.stored(old)
    monkeypatch.setattr(online, "BATCH", 3)
    monkeypatch.setattr(online, "PAUSE_SECONDS", 0)

    def killed_after(statements: int) -> Callable[[int], None]:
        def check(number: int) -> None:
            if number > statements:
                raise Killed

        return check

    for cuts in range(1, 200):
        with after_each_statement(monkeypatch, killed_after(cuts)), suppress(Killed):
            migrate(old, finish=True)
            break
    assert cuts > 20
    assert version_before.stored(old, before) == before
    assert looks(old) == looks(new_database())


def test_an_index_that_was_never_completed_is_built_anew(old: str, new_database: MakeDatabase) -> None:
    """What a killed CREATE INDEX CONCURRENTLY leaves: it is there, and nobody uses it."""
    rows(old, "CREATE UNIQUE INDEX social_post_pkey_new ON social_post (project_id, id)")
    rows(old, "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'social_post_pkey_new'::regclass")
    migrate(old, finish=True)
    assert looks(old) == looks(new_database())


def test_servers_that_start_together_wait_their_turn(old: str) -> None:
    """Without keeping a statement open: the one at work would wait for that to end."""
    with in_a_thread(lambda: migrate(old)) as one, in_a_thread(lambda: migrate(old)) as other:
        pass
    assert sorted([one[0] == [], other[0] == []]) == [False, True]
