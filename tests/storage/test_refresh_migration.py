"""Tokens that were there before refreshes were: due some day, if they expire."""

import importlib
from collections.abc import Callable

import peewee

from tests.kit.servers import rows

MIGRATION = importlib.import_module("server.storage.migrations.0007_refresh")
# More than two batches: one in five does not expire, one in seven needs its person, one in eleven expired.
ACCOUNTS = 2_500
PLANT = """
    WITH project AS (INSERT INTO project VALUES ('p', 'p', '{}', now())),
    account AS (
      INSERT INTO social_account (
        project_id, id, platform, platform_user_id, username, display_name, profile_photo_url, state, scopes,
        access_token_expire_time, metadata, version, create_time, update_time, connect_time)
      SELECT 'p', n::text, 1, n::text, '', '', '', CASE WHEN n %% 7 = 0 THEN 2 ELSE 1 END, '{}',
        CASE WHEN n %% 5 = 0 THEN NULL WHEN n %% 11 = 0 THEN now() - interval '1 day'
          ELSE now() + interval '10 hours' END, '{}', 1, now(), now(), now()
      FROM generate_series(1, %s) n
    )
    INSERT INTO social_account_token (project_id, social_account_id, access_token)
    SELECT 'p', n::text, '' FROM generate_series(1, %s) n"""
FOUND = """
    SELECT count(*), count(*) FILTER (WHERE due_time < now() + interval '11 min'),
      count(*) FILTER (WHERE due_time BETWEEN now() + interval '7 hours' AND now() + interval '9 hours')
    FROM social_account_token WHERE due_time IS NOT NULL"""


def test_what_was_connected_before_is_due_some_day(new_database: Callable[[], str]) -> None:
    """A second time it changes nothing."""
    url = new_database()
    rows(url, PLANT, ACCOUNTS, ACCOUNTS)
    alive = [n for n in range(1, ACCOUNTS + 1) if n % 5 and n % 7]
    expired = [n for n in alive if n % 11 == 0]
    database = peewee.PostgresqlDatabase(url)
    with database.connection_context():
        MIGRATION.up(None, database)
    assert rows(url, FOUND) == [(len(alive), len(expired), len(alive) - len(expired))]
    due = "SELECT social_account_id, due_time FROM social_account_token ORDER BY 1"
    before = rows(url, due)
    with database.connection_context():
        MIGRATION.up(None, database)
    assert rows(url, due) == before
