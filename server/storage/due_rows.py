"""What statements about due rows have in common: which projects have some, which come first, how many wait.

A table's rows are due when `time`, one of its columns, is not after `until`, an SQL expression; an index
begins with (project_id, time). Cost follows what is due: a million rows due next month are never read.
"""

from collections.abc import Sequence
from typing import NamedTuple

from server.storage.statements import Statement

# From then on an operator should know.
LATE_SECONDS = 60.0


class Backlog(NamedTuple):
    """How many rows are due, how late the oldest is, in seconds, and how many leases have run out."""

    due: int
    late: float
    ran_out: int


def waiting(table: str, time: str) -> str:
    """A recursive CTE: the projects that have rows with a time, by one step each in the index. The last of
    its rows is NULL."""
    return f"""waiting AS (
      (SELECT project_id FROM {table} WHERE {time} IS NOT NULL ORDER BY project_id LIMIT 1)
      UNION ALL
      SELECT (SELECT n.project_id FROM {table} n WHERE n.{time} IS NOT NULL AND n.project_id > w.project_id
              ORDER BY n.project_id LIMIT 1)
      FROM waiting w WHERE w.project_id IS NOT NULL
    )"""


class Queues(NamedTuple):
    """Rows that wait for each other: of all that are due only few may be had.

    `candidates` is SQL for `key` columns and times of rows of project `p`, few of each queue, the oldest
    first; `ready` a condition for a row `r` of these. Each of them is asked, but not what waits behind it.
    `first` is the same of few rows, the oldest: where they suffice, nobody reads all that is due.
    """

    key: Sequence[str]
    first: str
    candidates: str
    ready: str

    def few(self, table: str, columns: Sequence[str], time: str, until: str, lock: str) -> str:
        """What follows FROM, for rows `r` that may be had now, some of them twice; with a LIMIT it goes no
        further than it has to."""
        either = f"({self.first}) UNION ALL ({self.candidates})"
        return self._rows(either, table, columns, time, until, lock)

    def all(self, table: str, columns: Sequence[str], time: str, until: str) -> str:
        """The same for each of them, once."""
        return self._rows(self.candidates, table, columns, time, until, "OFFSET 0")

    def _rows(
        self, candidates: str, table: str, columns: Sequence[str], time: str, until: str, lock: str
    ) -> str:
        same = " AND ".join(f"r.{column} = q.{column}" for column in self.key)
        return f"""({candidates}) q, LATERAL (
          SELECT {", ".join(columns)} FROM {table} r
          WHERE r.project_id = p.project_id AND {same} AND r.{time} <= {until} AND {self.ready} {lock}
        ) r"""


def oldest(
    table: str,
    columns: Sequence[str],
    time: str,
    until: str,
    batch: int,
    share: int,
    queues: Queues | None = None,
) -> str:
    """A CTE, `due`: up to `batch` rows, the oldest `share` of each project; the projects in random order.

    They are locked until the transaction ends; those that others have locked are passed by.
    """
    lock, named = "FOR UPDATE SKIP LOCKED", ", ".join(columns)
    if queues:
        rows = f"SELECT r.* FROM {queues.few(table, columns, time, until, lock)} LIMIT {share}"
    else:
        rows = f"""SELECT {named} FROM {table} r WHERE r.project_id = p.project_id AND r.{time} <= {until}
        ORDER BY r.{time} LIMIT {share} {lock}"""
    return f"""due AS MATERIALIZED (
      SELECT d.* FROM (
        SELECT project_id FROM waiting WHERE project_id IS NOT NULL ORDER BY random()
      ) p, LATERAL (
        {rows}
      ) d LIMIT {batch}
    )"""


def backlog(
    name: str,
    table: str,
    time: str,
    until: str,
    lease_time: str = "NULL",
    queues: Queues | None = None,
) -> Statement[Backlog]:
    """What waits for a worker; `lease_time` is the column that is still set when a lease has run out."""
    rows = f"{table} r WHERE r.project_id = p.project_id AND r.{time} <= {until}"
    if queues:
        rows = queues.all(table, (time, lease_time), time, until)
    return Statement(
        f"{name}.backlog",
        f"""
    WITH RECURSIVE {waiting(table, time)}
    SELECT coalesce(sum(d.due), 0)::bigint, coalesce(extract(epoch FROM {until} - min(d.oldest)), 0)::float8,
      coalesce(sum(d.ran_out), 0)::bigint
    FROM waiting p, LATERAL (
      SELECT count(*) AS due, min(r.{time}) AS oldest, count({lease_time}) AS ran_out
      FROM {rows}
    ) d
        """,
        Backlog._make,
    )


def plain_backlog(name: str, table: str, time: str, until: str) -> Statement[Backlog]:
    """The same of a table that belongs to no project."""
    return Statement(
        f"{name}.backlog",
        f"""
    SELECT count(*), coalesce(extract(epoch FROM {until} - min({time})), 0)::float8, 0::bigint
    FROM {table} WHERE {time} <= {until}
        """,
        Backlog._make,
    )
