"""Apps of platforms that are an owner's own, erased when the owner is forgotten; see decision 25."""

from collections.abc import Collection
from typing import Any

from server.storage.statements import Command, Statement

_COUNT = Statement(
    "platform_apps.count_owned",
    "SELECT count(*) FROM platform_app WHERE project_id = $project AND external_id = $owner",
    tuple[Any, ...],
)
_ERASE = Command(
    "platform_apps.erase",
    """
    DELETE FROM platform_app
    WHERE project_id = $project AND external_id = $owner AND NOT id = ANY($in_use::text[])
    """,
)


def count(project_id: str, owner: str) -> int:
    """How many the owner has."""
    return int(_COUNT.all(project=project_id, owner=owner)[0][0])


def erase_apps(project_id: str, owner: str, in_use: Collection[str]) -> None:
    """Erases the owner's apps, secrets too, but for those that are in use."""
    _ERASE.run(project=project_id, owner=owner, in_use=list(in_use))
