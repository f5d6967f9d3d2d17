"""Posts that servers of the version before, which send none, have stored meanwhile."""

from typing import Any

from server.storage import ledger_posts

atomic = False


def up(migrator: Any, db: Any) -> None:  # noqa: ARG001 (the runner's signature)
    """Says when they are due."""
    ledger_posts.schedule(db)
