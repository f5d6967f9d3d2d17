"""What sending a post needs: targets as due work and what became of them, limits of calls, the sandbox's
posts.
"""

from typing import Any

from server.storage import ledger_posts, online

# With constants, so that no row is rewritten, and servers of the version before go on writing.
COLUMNS = {
    "social_account": ("limits jsonb",),
    "social_post": ("follow_ups jsonb NOT NULL DEFAULT '[]'",),
    "social_post_target": (
        "owner text",
        "queue_time timestamptz",
        "due_time timestamptz",
        "lease_time timestamptz",
        "attempt integer NOT NULL DEFAULT 0",
        "worker text",
        "attempt_count integer NOT NULL DEFAULT 0",
        "send_time timestamptz",
        "publish_time timestamptz",
        "platform_post_id text",
        "platform_post_url text",
        "error jsonb",
        "steps jsonb NOT NULL DEFAULT '{}'",
        "follow_ups jsonb NOT NULL DEFAULT '[]'",
    ),
}
INDEXES = {
    "social_post_target_project_id_due_time": (
        "social_post_target (project_id, due_time) WHERE due_time IS NOT NULL"
    ),
    # What of an account waits to be sent, in its order.
    "social_post_target_queue": (
        "social_post_target (project_id, social_account_id, queue_time, social_post_id) "
        "WHERE due_time IS NOT NULL AND state IN (1, 2)"
    ),
    "social_post_target_project_id_state": (
        "social_post_target (project_id, state, social_post_id, social_account_id)"
    ),
}
# One account sends one target at a time.
SENDING = ("social_post_target_sending", "social_post_target (project_id, social_account_id) WHERE state = 2")
TABLES = """
CREATE TABLE IF NOT EXISTS rate_limit (
    project_id text COLLATE "C" NOT NULL CONSTRAINT rate_limit_project_id_fkey
        REFERENCES project (id) ON DELETE CASCADE,
    scope text COLLATE "C" NOT NULL,
    until_time timestamptz NOT NULL,
    CONSTRAINT rate_limit_pkey PRIMARY KEY (project_id, scope)
);
CREATE INDEX IF NOT EXISTS rate_limit_project_id_until_time ON rate_limit (project_id, until_time);
CREATE TABLE IF NOT EXISTS sandbox_post (
    id text COLLATE "C" NOT NULL CONSTRAINT sandbox_post_pkey PRIMARY KEY,
    handle text COLLATE "C" NOT NULL,
    reply_to text COLLATE "C",
    text text NOT NULL,
    media jsonb NOT NULL,
    visibility text NOT NULL,
    create_time timestamptz NOT NULL
);
CREATE INDEX IF NOT EXISTS sandbox_post_create_time ON sandbox_post (create_time);
CREATE INDEX IF NOT EXISTS sandbox_post_reply_to ON sandbox_post (reply_to) WHERE reply_to IS NOT NULL;
CREATE TABLE IF NOT EXISTS sandbox_media (
    id text COLLATE "C" NOT NULL CONSTRAINT sandbox_media_pkey PRIMARY KEY,
    handle text COLLATE "C" NOT NULL,
    content_type text NOT NULL,
    content bytea NOT NULL,
    create_time timestamptz NOT NULL
);
CREATE INDEX IF NOT EXISTS sandbox_media_create_time ON sandbox_media (create_time);
CREATE TABLE IF NOT EXISTS sandbox_behaviour (
    name text COLLATE "C" NOT NULL CONSTRAINT sandbox_behaviour_pkey PRIMARY KEY,
    value jsonb NOT NULL,
    until_time timestamptz
)
"""
# Indexes are built while the tables are written.
atomic = False


def up(migrator: Any, db: Any) -> None:  # noqa: ARG001 (the runner's signature)
    """Adds the columns and tables, builds the indexes, says when what there is is due."""
    for table, columns in COLUMNS.items():
        added = ", ".join(f"ADD COLUMN IF NOT EXISTS {column}" for column in columns)
        online.briefly(db, table, f"ALTER TABLE {table} {added}")
    db.execute_sql(TABLES)
    for name, on in INDEXES.items():
        online.build_index(db, name, on)
    online.build_index(db, *SENDING, unique=True)
    ledger_posts.schedule(db)
