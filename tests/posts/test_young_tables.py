"""A plan that was made while the tables were small is kept until the next ANALYZE: it must not read all that
has come since, for each row of a page."""

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import psycopg2
import pytest

from server.posts import lists, target_lists
from server.storage import listing
from server.storage.database import database
from server.storage.listing import Listed

FEW, MANY, PAGE = 5, 3000, 37
# Blocks that a page of so many posts may take from the buffers: of each post, its target and its account, and
# of their indexes a few.
MOST_BLOCKS = PAGE * 40

TABLES = ("social_account", "social_post", "social_post_target")


def fill(cursor: Any, project: str, posts: int) -> None:
    """A project of alice's and bob's, each with every second post."""
    cursor.execute(
        """
        INSERT INTO project VALUES (%(project)s, %(project)s, '{}', now());
        INSERT INTO social_account SELECT 'sa_' || n, %(project)s, 1, 'u' || n,
          CASE n WHEN 1 THEN 'alice' ELSE 'bob' END, '', '', '', 1, '{}', NULL, '{}', 1, now(), now(), now()
        FROM generate_series(1, 2) n;
        INSERT INTO social_post SELECT 'sp_' || lpad(n::text, 8, '0'), %(project)s, 'tag', 'c', '[]', NULL, 1,
          '{}', 1, now(), now() FROM generate_series(1, %(posts)s) n;
        INSERT INTO social_post_target (project_id, social_post_id, social_account_id, position, state)
        SELECT %(project)s, 'sp_' || lpad(n::text, 8, '0'), 'sa_' || (n %% 2 + 1), 0, 1
        FROM generate_series(1, %(posts)s) n
        """,
        {"project": project, "posts": posts},
    )


@pytest.fixture(scope="module")
def cursor(new_database: Callable[[], str]) -> Iterator[Any]:
    """A session as the product's are, of a database that has grown since its statistics were made."""
    with closing(psycopg2.connect(new_database())) as connection:
        connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute(database._settings)
        for table in TABLES:
            cursor.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
        fill(cursor, "young", FEW)
        cursor.execute(f"ANALYZE {', '.join(TABLES)}")
        yield cursor


@pytest.mark.parametrize("after", [None, f"sp_{MANY // 2:08}"])
@pytest.mark.parametrize(
    "filters",
    [
        {"owner": "alice"},
        {"owner": "alice", "states": [1]},
        {"social_account_ids": ["sa_1"]},
        {"platforms": [1]},
        {},
    ],
    ids=lambda filters: "-".join(filters) or "none",
)
def test_a_page_reads_what_it_has(cursor: Any, filters: dict[str, Any], after: str | None) -> None:
    shape, values = listing.shape(filters, after, merged={"social_account_ids"})
    check(cursor, lists.list_statement(shape, due=False), values)


@pytest.mark.parametrize("after", [None, f"sp_{MANY // 2:08}"])
@pytest.mark.parametrize(
    "filters",
    [
        {"owner": "alice"},
        {"owner": "alice", "states": [1]},
        {"social_account_ids": ["sa_1"]},
        {"external_ids": ["tag"]},
        {"external_ids": ["tag"], "states": [1, 3]},
        {"states": [1]},
        {"platforms": [1]},
        {},
    ],
    ids=lambda filters: "-".join(filters) or "none",
)
def test_a_page_of_targets_reads_what_it_has(cursor: Any, filters: dict[str, Any], after: str | None) -> None:
    shape, values = listing.shape(filters, after, merged=target_lists.MERGED)
    values |= {"after_post": after or "", "after_account": "sa_1"}
    check(cursor, target_lists.list_statement(shape), values)


def check(cursor: Any, listed: Listed[Any], values: dict[str, Any]) -> None:
    """Reads a page with a plan that was made while the project was small."""
    statement = listed.small
    cursor.execute(
        "DELETE FROM social_post WHERE project_id = 'grown'; DELETE FROM project WHERE id = 'grown'"
    )
    cursor.execute("DEALLOCATE ALL")
    cursor.execute(statement.prepare)
    # After some runs PostgreSQL settles for one plan.
    for _ in range(7):
        arguments = statement.arguments({**values, "project": "young", "limit": PAGE + 1})
        cursor.execute(statement.execute, arguments)
    fill(cursor, "grown", MANY)
    arguments = statement.arguments({**values, "project": "grown", "limit": PAGE + 1})
    cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement.execute}", arguments)
    [(explained,)] = cursor.fetchall()
    plan = explained[0]["Plan"]
    assert plan["Actual Rows"] == PAGE + 1
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < MOST_BLOCKS
