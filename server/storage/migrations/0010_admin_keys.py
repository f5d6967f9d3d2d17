"""Admin keys, in a table of their own, which the version before does not ask, so that to it they are unknown;
and what was done to projects and keys, by whom."""

from typing import Any

TABLES = """
CREATE TABLE IF NOT EXISTS admin_key (
    id text COLLATE "C" NOT NULL CONSTRAINT admin_key_pkey PRIMARY KEY,
    name text NOT NULL,
    hash bytea NOT NULL,
    read_only boolean NOT NULL,
    create_time timestamptz NOT NULL,
    revoke_time timestamptz
);
CREATE UNIQUE INDEX IF NOT EXISTS admin_key_hash ON admin_key (hash);
CREATE TABLE IF NOT EXISTS admin_event (
    id text COLLATE "C" NOT NULL CONSTRAINT admin_event_pkey PRIMARY KEY,
    api_key_id text COLLATE "C",
    action text NOT NULL,
    project_id text COLLATE "C" NOT NULL,
    subject text NOT NULL,
    create_time timestamptz NOT NULL
)
"""


def up(migrator: Any, db: Any) -> None:  # noqa: ARG001 (the runner's signature)
    """Creates the tables; none that there is has to be locked."""
    db.execute_sql(TABLES)
