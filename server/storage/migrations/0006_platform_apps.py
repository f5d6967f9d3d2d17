"""Apps of platforms; and with attempts and tokens, whose app they are of, and what the platform needs."""

from typing import Any

from server.storage import online

TABLE = """
CREATE TABLE IF NOT EXISTS platform_app (
    project_id text COLLATE "C" NOT NULL CONSTRAINT platform_app_project_id_fkey
        REFERENCES project (id) ON DELETE CASCADE,
    id text COLLATE "C" NOT NULL,
    platform smallint NOT NULL,
    external_id text COLLATE "C" NOT NULL,
    instance text COLLATE "C" NOT NULL,
    client_id text NOT NULL,
    secrets bytea NOT NULL,
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL,
    retire_time timestamptz,
    CONSTRAINT platform_app_pkey PRIMARY KEY (project_id, id)
);
CREATE UNIQUE INDEX IF NOT EXISTS platform_app_project_id_platform_external_id_instance
    ON platform_app (project_id, platform, external_id, instance) WHERE retire_time IS NULL
"""
# Nullable, so that no row is rewritten, and servers of the version before go on writing.
COLUMNS = {
    "social_account_token": ("context bytea", "connection text", "platform_app_id text", "login_id text"),
    "token_revocation": ("context bytea", "connection text", "platform_app_id text"),
    "auth_session": ("connection text", "platform_app_id text", "flow bytea"),
}
INDEX = ("social_account_token_project_id_login_id", "social_account_token (project_id, login_id)")

# An index is built while the table is written.
atomic = False


def up(migrator: Any, db: Any) -> None:  # noqa: ARG001 (the runner's signature)
    """Creates the table, adds the columns, builds the index."""
    db.execute_sql(TABLE)
    for table, columns in COLUMNS.items():
        added = ", ".join(f"ADD COLUMN IF NOT EXISTS {column}" for column in columns)
        online.briefly(db, table, f"ALTER TABLE {table} {added}")
    name, on = INDEX
    online.build_index(db, name, f"{on} WHERE login_id IS NOT NULL")
