"""Tokens that are to be revoked, and indexes by which each project's expired rows are found.

The indexes by which the version before finds them stay until `hitchpost migrate --finish` (finish/).
"""

from typing import Any

from server.storage import online

TABLE = """
CREATE TABLE IF NOT EXISTS token_revocation (
    project_id text COLLATE "C" NOT NULL CONSTRAINT token_revocation_project_id_fkey
        REFERENCES project (id) ON DELETE CASCADE,
    id text COLLATE "C" NOT NULL,
    platform smallint NOT NULL,
    social_account_id text COLLATE "C" NOT NULL,
    access_token bytea NOT NULL,
    refresh_token bytea,
    create_time timestamptz NOT NULL,
    due_time timestamptz,
    lease_time timestamptz,
    attempt integer NOT NULL,
    worker text,
    CONSTRAINT token_revocation_pkey PRIMARY KEY (project_id, id)
);
CREATE INDEX IF NOT EXISTS token_revocation_project_id_due_time
    ON token_revocation (project_id, due_time) WHERE due_time IS NOT NULL
"""
INDEXES = {
    "auth_session_project_id_expire_time": "auth_session (project_id, expire_time)",
    "idempotent_request_project_id_create_time": "idempotent_request (project_id, create_time)",
}

# Indexes are built while the tables are written.
atomic = False


def up(migrator: Any, db: Any) -> None:  # noqa: ARG001 (the runner's signature)
    """Creates the table, and builds the indexes."""
    db.execute_sql(TABLE)
    for name, on in INDEXES.items():
        online.build_index(db, name, on)
