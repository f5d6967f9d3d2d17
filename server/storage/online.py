"""Steps of a migration during which others go on reading and writing the table.

Each can be repeated: a migration that was interrupted begins again and finds done what is done. They run
outside of a transaction (`atomic = False` in the migration).
"""

import logging
import time
from typing import Any

import peewee
import psycopg2.errors as pg

log = logging.getLogger(__name__)

# How long others may queue behind a lock that we don't get. Below PostgreSQL's deadlock_timeout: in a
# deadlock we are the one who gives way.
LOCK_MS = 100
# Between two tries those who queued behind us come first.
PAUSE_SECONDS = 0.4
TRIES = 1200
# Rows that one statement fills: whoever wants to write one of them waits for all.
BATCH = 1000


def briefly(db: peewee.PostgresqlDatabase, tables: str, statement: str) -> None:
    """Changes the catalog in a transaction that waits for its locks LOCK_MS at most, and else tries again.

    `tables`, with commas, are those that it locks. First comes a lock that holds up neither reads nor writes:
    whoever waits for that makes autovacuum, which may keep at it for hours, give way. Raises
    peewee.OperationalError when others keep a lock all the time, for ten minutes.
    """
    for tried in range(1, TRIES + 1):
        try:
            with db.atomic():
                db.execute_sql(f"LOCK TABLE {tables} IN SHARE UPDATE EXCLUSIVE MODE")
                db.execute_sql(f"SET LOCAL lock_timeout = {LOCK_MS}")
                db.execute_sql(statement)
            return
        except peewee.OperationalError as error:
            if not isinstance(error.__context__, pg.LockNotAvailable) or tried == TRIES:
                raise
            log.info("waiting for a lock", extra={"tables": tables})
            time.sleep(PAUSE_SECONDS)


def build_index(db: peewee.PostgresqlDatabase, name: str, on: str, *, unique: bool = False) -> None:
    """Builds an index `on` "table (columns)" while the table is written; an interrupted build begins anew."""
    valid = _one(db, "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)", name)
    if valid is False:
        drop_index(db, name)
    if not valid:
        db.execute_sql(f"CREATE {'UNIQUE ' * unique}INDEX CONCURRENTLY {name} ON {on}")


def drop_index(db: peewee.PostgresqlDatabase, name: str) -> None:
    """Drops an index, if it is there, while the table is read and written."""
    db.execute_sql(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")


def fill(db: peewee.PostgresqlDatabase, table: str, column: str, value: str, key: str) -> None:
    """Sets a new column to `value`, an SQL expression of the row, in batches that commit by themselves.

    In the order of `key`, the first column of an index. Rows that others have locked are left for a later
    round, so that nobody waits for us longer than a batch takes, and there are no deadlocks.
    """
    left = f"SELECT true FROM {table} WHERE {column} IS NULL LIMIT 1"
    total = 0
    while _one(db, left):
        after, number = "", 0
        while batch := _fill_batch(db, table, column, value, key, after):
            after, number = max(batch), number + len(batch)
        log.info("filled", extra={"table": table, "rows": number})
        if not number:
            time.sleep(PAUSE_SECONDS)
        total += number
    if total:
        # Until then plans are made by a guess of what the column has.
        db.execute_sql(f"ANALYZE {table}")


def _fill_batch(
    db: peewee.PostgresqlDatabase, table: str, column: str, value: str, key: str, after: str
) -> list[str]:
    statement = f"""
        UPDATE {table} SET {column} = {value} WHERE ctid = ANY (ARRAY(
          SELECT ctid FROM {table} WHERE {column} IS NULL AND {key} >= %s ORDER BY {key}
          LIMIT {BATCH} FOR NO KEY UPDATE SKIP LOCKED))
        RETURNING {key}"""
    return [found for (found,) in db.execute_sql(statement, [after]).fetchall()]


def require(db: peewee.PostgresqlDatabase, table: str, column: str) -> None:
    """Makes a column NOT NULL; the rows are read before the lock is taken, by a constraint that proves it."""
    if _one(
        db,
        "SELECT attnotnull FROM pg_attribute WHERE attrelid = %s::regclass AND attname = %s",
        table,
        column,
    ):
        return
    proof = f"{table}_{column}_not_null"
    if not has_constraint(db, table, proof, 1):
        add = f"ADD CONSTRAINT {proof} CHECK ({column} IS NOT NULL) NOT VALID"
        briefly(db, table, f"ALTER TABLE {table} {add}")
    db.execute_sql(f"ALTER TABLE {table} VALIDATE CONSTRAINT {proof}")
    # Two statements: PostgreSQL looks for a proof among the constraints that a statement leaves.
    change = (
        f"ALTER TABLE {table} ALTER COLUMN {column} SET NOT NULL; ALTER TABLE {table} DROP CONSTRAINT {proof}"
    )
    briefly(db, table, change)


def has_constraint(db: peewee.PostgresqlDatabase, table: str, name: str, columns: int) -> bool:
    """Whether the table has a constraint of this name on so many columns."""
    found = "SELECT cardinality(conkey) FROM pg_constraint WHERE conrelid = %s::regclass AND conname = %s"
    return bool(_one(db, found, table, name) == columns)


def _one(db: peewee.PostgresqlDatabase, query: str, *parameters: str) -> Any:
    """The first column of the first row, None without rows."""
    row = db.execute_sql(query, parameters).fetchone()
    return row[0] if row else None
