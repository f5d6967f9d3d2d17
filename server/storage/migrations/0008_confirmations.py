"""What an attempt brought, encrypted, until the application confirms who came back; by the hash of a code."""

from typing import Any

from server.storage import online

# An attempt that the version before begins asks for no confirmation. A constant rewrites no row.
COLUMNS = """
ALTER TABLE auth_session
    ADD COLUMN IF NOT EXISTS require_confirmation boolean NOT NULL DEFAULT false,
    ADD COLUMN IF NOT EXISTS confirmation_hash bytea,
    ADD COLUMN IF NOT EXISTS profiles bytea,
    ADD COLUMN IF NOT EXISTS erase_time timestamptz
"""
INDEXES = {
    "auth_session_project_id_confirmation_hash": (
        "auth_session (project_id, confirmation_hash) WHERE confirmation_hash IS NOT NULL"
    ),
    "auth_session_project_id_erase_time": (
        "auth_session (project_id, erase_time) WHERE erase_time IS NOT NULL"
    ),
}

# Indexes are built while the table is written.
atomic = False


def up(migrator: Any, db: Any) -> None:  # noqa: ARG001 (the runner's signature)
    """Adds the columns, and builds the indexes."""
    online.briefly(db, "auth_session", COLUMNS)
    for name, on in INDEXES.items():
        online.build_index(db, name, on)
