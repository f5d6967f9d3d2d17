"""Migrations: one server at a time, however many start together.

Those in `migrations/` leave the version before able to serve. What it can't live with is in
`migrations/finish/`, for when none of its servers is left; the release after moves that to `migrations/`.
"""

import time
from pathlib import Path

import peewee
from playhouse.migrations import Runner

from server.storage.database import Database

MIGRATIONS = Path(__file__).parent / "migrations"
FINISH = MIGRATIONS / "finish"
# Any number will do, as long as every server takes the same one. Servers of the version before took
# another: they wait within a statement, and building an index would wait for that to end.
_LOCK_KEY = 7_448_202
_LOOK_SECONDS = 0.1


def migrate(database: Database, *, finish: bool = False) -> list[str]:
    """Applies what is missing, in order, and returns the names of what it applied.

    With `finish`, and in a database that is new, also what servers of the version before can't live with.
    An advisory lock of PostgreSQL makes other servers wait; they then find nothing left to do.
    """
    # Says what is wrong in the words of our errors, which Peewee does not have.
    database.fetch("SELECT 1")
    try:
        # On Peewee's connection, which has no limits: waiting here may take longer than a call may.
        database.peewee.execute_sql("SET timezone = 'UTC'")
        _lock(database.peewee)
        runner = Runner(database.peewee, str(MIGRATIONS))
        new = not runner.applied()
        applied: list[str] = runner.up()
        if finish or new:
            applied += Runner(database.peewee, str(FINISH)).up()
    finally:
        # Ends the session, and with it the lock.
        database.close()
    return applied


def newest() -> str:
    """The name of the last migration that this version has."""
    return max(path.stem for path in MIGRATIONS.glob("[0-9]*.py"))


def pending(database: Database) -> list[str]:
    """The names of the migrations that the database lacks."""
    return _lacking(database, MIGRATIONS)


def unfinished(database: Database) -> list[str]:
    """The names of those that wait for the version before to be gone."""
    return _lacking(database, FINISH)


def version(database: Database) -> int:
    """The number of the last migration that was applied; 0 in a database without tables.

    Raises as Database.fetch."""
    [(table,)] = database.fetch("SELECT to_regclass('schema_migration')")
    applied = database.fetch("SELECT max(name) FROM schema_migration")[0][0] if table else None
    return int(applied.partition("_")[0]) if applied else 0


def _lacking(database: Database, folder: Path) -> list[str]:
    return [
        migration.name for migration in Runner(database.peewee, str(folder)).status() if not migration.applied
    ]


def _lock(db: peewee.PostgresqlDatabase) -> None:
    """Waits for its turn, in many statements: building an index waits for all that run."""
    while not db.execute_sql("SELECT pg_try_advisory_lock(%s)", [_LOCK_KEY]).fetchone()[0]:
        time.sleep(_LOOK_SECONDS)
