"""A database as the version before migration 0004 left it: its schema, and rows that its statements wrote."""

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import peewee
import psycopg2
from playhouse.migrations import Runner

from server.storage import schema
from tests.kit.servers import rows

LAST = "0003_callback_receipts"
HERE = Path(__file__).parent
SAID = [line for line in (HERE / "before_0004.sql").read_text().splitlines() if not line.startswith("--")]
# Calls, and what that version answered afterwards: an answer, or code and reason.
ANSWERED: list[dict[str, Any]] = json.loads((HERE / "before_0004.json").read_text())

TABLES = {
    "project": "id",
    "api_key": "id",
    "social_account": "id",
    "social_account_token": "social_account_id",
    "social_post": "id",
    "social_post_target": "social_post_id, position",
    "audit_event": "id",
    "idempotent_request": "request_id",
}


def migrate(url: str) -> None:
    """The schema of the version before, in an empty database."""
    db = peewee.PostgresqlDatabase(url)
    with db.connection_context():
        Runner(db, str(schema.MIGRATIONS)).up(LAST)


def write(url: str) -> None:
    """The rows of the version before."""
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        cursor = connection.cursor()
        for statement in SAID:
            cursor.execute(statement)


# The projects are there already, and keys are known by their hash.
_REPEATABLE = [line for line in SAID if line not in ("BEGIN;", "COMMIT;") and '"api_key"' not in line]
_KEYS = {line.split()[1] for line in SAID if '"api_key"' in line}
_REPEATED = [
    line.replace("_01M88", "_01M99").replace(", 'one',", ", 'third',").replace(", 'two',", ", 'fourth',")
    for line in _REPEATABLE
    if line.split()[1] not in _KEYS
]


def write_again(cursor: Any) -> None:
    """The same for two other projects, with nothing kept: whether the version before can still write."""
    cursor.execute("BEGIN")
    for statement in _REPEATED:
        cursor.execute(statement)
        assert cursor.rowcount != 0 or not statement.startswith("EXECUTE"), statement
    cursor.execute("ROLLBACK; DEALLOCATE ALL")


def stored(
    url: str, before: dict[str, list[dict[str, Any]]] | None = None
) -> dict[str, list[dict[str, Any]]]:
    """Every row; of what has been migrated since, the columns that there were `before`."""
    found = {}
    for table, order in TABLES.items():
        every = [row for (row,) in rows(url, f"SELECT to_jsonb(t) FROM {table} t ORDER BY {order}")]
        names = before[table][0] if before else None
        found[table] = [{name: row[name] for name in names} if names else row for row in every]
    return found
