"""Indexes by which only the version before found what has expired."""

from typing import Any

from server.storage import online

REPLACED = ("auth_session_project_id", "auth_session_expire_time", "idempotent_request_create_time")

atomic = False


def up(migrator: Any, db: Any) -> None:  # noqa: ARG001 (the runner's signature)
    """Drops them."""
    for name in REPLACED:
        online.drop_index(db, name)
