"""What a callback brought, for the browser that reloads it, which has the receipt."""

from typing import Any

COLUMNS = "ALTER TABLE auth_session ADD COLUMN receipt_hash bytea, ADD COLUMN result jsonb"


def up(migrator: Any, db: Any) -> None:  # noqa: ARG001 (the runner's signature)
    """Adds the two columns; nullable, so that no row is rewritten."""
    db.execute_sql(COLUMNS)
