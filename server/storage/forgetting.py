"""Forgetting what has expired: due work that nothing outside of the database hears of.

So a row is not leased, and no outcome recorded: one statement takes a batch and deletes it, or erases what
must not stay, and what it has not committed has not happened. The time from which on a row is due follows
from a column that it has anyway, such as `expire_time`: there is no `due_time` that would have to agree
with it.
"""

from collections.abc import Callable, Sequence
from datetime import timedelta
from threading import Event
from typing import Any

import peewee

from server.base import metrics
from server.storage import due_rows
from server.storage.due_rows import Backlog
from server.storage.statements import Statement

BATCH = 1000
# Of one project, so that its backlog keeps no other's waiting.
SHARE = 250


class Forgetting:
    """Deletes the rows of a table whose `column` is longer ago than `kept`; or of these rows erases only the
    columns `erased`, and `column` with them.

    Of a table of projects an index begins with (project_id, column), else with the column.
    """

    # Nobody waits for it: what a row costs is its place.
    every = 10.0

    def __init__(
        self, name: str, column: peewee.Field, kept: timedelta, erased: Sequence[peewee.Field] = ()
    ) -> None:
        self.name = name
        self.table: type[peewee.Model] = column.model
        self.kept = kept
        table, time = self.table._meta.table_name, column.column_name
        until = f"now() - interval '{int(kept.total_seconds())} seconds'"
        nulls = ", ".join(f"{field.column_name} = NULL" for field in (*erased, column))
        forget = f"UPDATE {table} t SET {nulls} FROM due" if erased else f"DELETE FROM {table} t USING due"
        self._forget = Statement(f"{name}.forget", _forget(self.table, time, until, forget), tuple[Any, ...])
        spread = "project" in self.table._meta.fields
        self._backlog = (due_rows.backlog if spread else due_rows.plain_backlog)(name, table, time, until)

    def turn(self, worker: str, more: Callable[[], None], stop: Event) -> bool:  # noqa: ARG002
        """Forgets a batch; calls `more` when there was any. Returns whether there was."""
        found = len(self._forget.all())
        if found:
            metrics.attempted(self.name, "done", found)
            more()
        return found > 0

    def backlog(self) -> Backlog:
        """What should have been forgotten by now."""
        return self._backlog.all()[0]


def _forget(model: type[peewee.Model], time: str, until: str, forget: str) -> str:
    """`forget` is what happens to rows of the table as t that are among those that are due."""
    table = model._meta.table_name
    key = [field.column_name for field in model._meta.get_primary_keys()]
    if "project" not in model._meta.fields:
        return f"""
    WITH due AS MATERIALIZED (
      SELECT {", ".join(key)} FROM {table} WHERE {time} <= {until} ORDER BY {time} LIMIT {BATCH}
      FOR UPDATE SKIP LOCKED
    )
    {forget} WHERE {_same(key)} RETURNING t.{key[0]}
        """
    key = list(dict.fromkeys(["project_id", *key]))
    return f"""
    WITH RECURSIVE {due_rows.waiting(table, time)},
    {due_rows.oldest(table, key, time, until, BATCH, SHARE)}
    {forget} WHERE {_same(key)} RETURNING t.project_id
        """


def _same(key: list[str]) -> str:
    return " AND ".join(f"t.{column} = due.{column}" for column in key)
