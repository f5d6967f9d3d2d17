"""Lists of projects and of API keys, newest first, a page at a time; and all of them, oldest first."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from server.projects.rows import ApiKeyRow, ProjectRow
from server.storage import listing
from server.storage.listing import Found, Listed, Row

# Keys of projects, and of none. The ids of both sort by creation.
KEYS = """(
      SELECT id, project_id, name, read_only, create_time, revoke_time FROM api_key
      UNION ALL
      SELECT id, '', name, read_only, create_time, revoke_time FROM admin_key
    )"""
_PAGE_SIZE = 1000


def _project(stored: Sequence[Any]) -> ProjectRow:
    project_id, name, redirect_urls, create_time = stored
    return ProjectRow(project_id, name, redirect_urls, datetime.fromisoformat(create_time))


def _key(stored: Sequence[Any]) -> ApiKeyRow:
    key_id, project_id, name, read_only, create_time, revoke_time = stored
    revoked = datetime.fromisoformat(revoke_time) if revoke_time else None
    return ApiKeyRow(key_id, project_id, name, read_only, datetime.fromisoformat(create_time), revoked)


_PROJECTS = Listed(
    "projects.list",
    """
    SELECT json_build_array(project.id, project.name, project.redirect_urls, project.create_time) AS stored,
      project.id
    FROM project
    WHERE ($names::text[] IS NULL OR project.name = ANY($names))
      AND ($after::text IS NULL OR project.id < $after)
    ORDER BY project.id DESC LIMIT $limit
    """,
    _project,
)
_KEYS = Listed(
    "projects.list_keys",
    f"""
    SELECT
      json_build_array(
        key.id, key.project_id, key.name, key.read_only, key.create_time, key.revoke_time
      ) AS stored,
      key.id
    FROM {KEYS} key
    WHERE ($projects::text[] IS NULL OR key.project_id = ANY($projects))
      AND ($after::text IS NULL OR key.id < $after)
    ORDER BY key.id DESC LIMIT $limit
    """,
    _key,
)


def projects_page(names: Sequence[str], after: str | None, size: int) -> Found[ProjectRow]:
    """A page of at most `size` projects of these names, or of any; see listing.read."""
    wanted = list(names) or None
    return listing.read(lambda after: (_PROJECTS, {"names": wanted, "after": after}), after, size)


def keys_page(project_ids: Sequence[str], after: str | None, size: int) -> Found[ApiKeyRow]:
    """A page of at most `size` keys of these projects, or of all and of none; "" has the admin keys."""
    wanted = list(project_ids) or None
    return listing.read(lambda after: (_KEYS, {"projects": wanted, "after": after}), after, size)


def every(page: Callable[[str | None, int], Found[Row]]) -> list[Row]:
    """What all pages have, oldest first."""
    rows: list[Row] = []
    after, more = None, True
    while more:
        found, more = page(after, _PAGE_SIZE)
        rows += found
        after = rows[-1].id if rows else None
    return rows[::-1]
