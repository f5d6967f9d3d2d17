"""When tokens are to be refreshed, and why an account needs its person again."""

from typing import Any

from server.storage import online

# With constants, so that no row is rewritten, and servers of the version before go on writing.
COLUMNS = {
    "social_account": ("reauth_reason smallint",),
    "social_account_token": (
        "due_time timestamptz",
        "lease_time timestamptz",
        "attempt integer NOT NULL DEFAULT 0",
        "worker text",
        "refresh_failures smallint NOT NULL DEFAULT 0",
    ),
}
INDEX = ("social_account_token_project_id_due_time", "social_account_token (project_id, due_time)")
KEYS = """
    SELECT project_id, social_account_id FROM social_account_token
    WHERE (project_id, social_account_id) > (%s, %s) ORDER BY project_id, social_account_id LIMIT %s"""
# What was connected until now; the worker finds out whether it can be refreshed. Not all of it at once.
FILL = """
    UPDATE social_account_token SET due_time = found.due_time FROM (
      SELECT t.project_id, t.social_account_id,
        now() + greatest(a.access_token_expire_time - now(), '0') * 0.8
          + random() * interval '10 min' AS due_time
      FROM social_account_token t
      JOIN social_account a ON a.project_id = t.project_id AND a.id = t.social_account_id
      WHERE (t.project_id, t.social_account_id) > (%s, %s) AND (t.project_id, t.social_account_id) <= (%s, %s)
        AND t.due_time IS NULL AND t.attempt = 0 AND a.state = 1 AND a.access_token_expire_time IS NOT NULL
      FOR NO KEY UPDATE OF t SKIP LOCKED
    ) found
    WHERE social_account_token.project_id = found.project_id
      AND social_account_token.social_account_id = found.social_account_id"""

# An index is built while the table is written.
atomic = False


def up(migrator: Any, db: Any) -> None:  # noqa: ARG001 (the runner's signature)
    """Adds the columns, builds the index, says when what there is is due."""
    for table, columns in COLUMNS.items():
        added = ", ".join(f"ADD COLUMN IF NOT EXISTS {column}" for column in columns)
        online.briefly(db, table, f"ALTER TABLE {table} {added}")
    name, on = INDEX
    online.build_index(db, name, f"{on} WHERE due_time IS NOT NULL")
    after = ("", "")
    while keys := db.execute_sql(KEYS, [*after, online.BATCH]).fetchall():
        db.execute_sql(FILL, [*after, *keys[-1]])
        after = keys[-1]
