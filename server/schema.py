"""Migrations: one server at a time, however many start together."""

from pathlib import Path

from playhouse.migrations import Runner

from server.database import Database

MIGRATIONS = Path(__file__).parent / "migrations"
# Any number will do, as long as every server takes the same one.
_LOCK_KEY = 7_448_201


def migrate(database: Database) -> list[str]:
    """Applies what is missing, in order, and returns the names of what it applied.

    An advisory lock of PostgreSQL makes other servers wait; they then find nothing left to do.
    """
    # Says what is wrong in the words of our errors, which Peewee does not have.
    database.fetch("SELECT 1")
    try:
        # On Peewee's connection, which has no limits: waiting here may take longer than a call may.
        database.peewee.execute_sql("SET timezone = 'UTC'")
        database.peewee.execute_sql("SELECT pg_advisory_lock(%s)", [_LOCK_KEY])
        applied: list[str] = Runner(database.peewee, str(MIGRATIONS)).up()
    finally:
        # Ends the session, and with it the lock.
        database.close()
    return applied


def pending(database: Database) -> list[str]:
    """The names of the migrations that the database lacks."""
    return [
        migration.name
        for migration in Runner(database.peewee, str(MIGRATIONS)).status()
        if not migration.applied
    ]
