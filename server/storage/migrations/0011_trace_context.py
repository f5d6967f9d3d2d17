"""The trace that due work was made in, so that a worker's can link to it; nothing while nobody traces."""

from typing import Any

from server.storage import online

# Each table by itself, so that nothing waits for two locks.
TABLES = ("social_post_target", "token_revocation")
atomic = False


def up(migrator: Any, db: Any) -> None:  # noqa: ARG001 (the runner's signature)
    """Adds the column, which servers of the version before leave alone."""
    for table in TABLES:
        online.briefly(db, table, f"ALTER TABLE {table} ADD COLUMN IF NOT EXISTS trace_context text")
