"""Projects and API keys as they are read."""

from datetime import datetime
from typing import NamedTuple


class ProjectRow(NamedTuple):
    """A project; redirect_urls are compared exactly."""

    id: str
    name: str
    redirect_urls: list[str]
    create_time: datetime


class ApiKeyRow(NamedTuple):
    """A key without its text, which nobody can read again; project_id is "" for an admin key."""

    id: str
    project_id: str
    name: str
    read_only: bool
    create_time: datetime
    revoke_time: datetime | None

    @property
    def admin(self) -> bool:
        """Whether it is no project's."""
        return not self.project_id
