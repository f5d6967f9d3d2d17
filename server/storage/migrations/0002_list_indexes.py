"""Every filter of a list finds its rows in the order of the page, and scheduled posts by their time."""

from typing import Any

INDEXES = """
CREATE INDEX social_account_project_id_platform_id ON social_account (project_id, platform, id);
CREATE INDEX social_post_project_id_state_scheduled_time_id
    ON social_post (project_id, state, scheduled_time, id);
DROP INDEX social_post_project_id_scheduled_time;
"""


def up(migrator: Any, db: Any) -> None:  # noqa: ARG001 (the runner's signature)
    """Adds the two indexes, and drops the one that the second replaces."""
    db.execute_sql(INDEXES)
