"""Projects, their API keys and redirect allow-lists, and admin keys.

`by` is everywhere the id of the admin key that it is done by; None is who has a shell on the server.
"""

from collections.abc import Iterable
from datetime import datetime
from functools import partial
from typing import Any

import peewee

from server.base import admin_errors, errors
from server.base.identity import Caller, Clock, new_id
from server.base.vault import fingerprint
from server.projects import admin_events, api_keys, lists
from server.projects.redirect_urls import redirect_url
from server.projects.rows import ApiKeyRow, ProjectRow
from server.storage.database import database
from server.storage.models import AdminKey, ApiKey, Project
from server.storage.statements import Command, Statement, param, params

LONGEST_NAME = 255
MOST_REDIRECT_URLS = 100


class CommandError(Exception):
    """What the operator asked for can't be done; the text says why."""


_PROJECT = [getattr(Project, name) for name in ProjectRow._fields]
_CREATE = Statement(
    "projects.create",
    Project.insert(params(*_PROJECT)).on_conflict_ignore().returning(Project.id),
    tuple[Any, ...],
)
_BY_NAME = Statement(
    "projects.by_name", Project.select(*_PROJECT).where(Project.name == param("name")), ProjectRow._make
)
_BY_ID = Statement(
    "projects.by_id", Project.select(*_PROJECT).where(Project.id == param("id")), ProjectRow._make
)
_ADD_REDIRECT = Statement(
    "projects.add_redirect",
    f"""
    UPDATE project SET redirect_urls = array_append(redirect_urls, $url)
    WHERE id = $id AND $url <> ALL (redirect_urls) AND cardinality(redirect_urls) < {MOST_REDIRECT_URLS}
    RETURNING id
    """,
    tuple[Any, ...],
)
_REMOVE_REDIRECT = Statement(
    "projects.remove_redirect",
    Project.update({Project.redirect_urls: peewee.fn.array_remove(Project.redirect_urls, param("url"))})
    .where((Project.id == param("id")) & (param("url") == peewee.fn.ANY(Project.redirect_urls)))
    .returning(Project.id),
    tuple[Any, ...],
)
_CREATE_KEY = Command(
    "projects.create_key",
    ApiKey.insert(
        params(ApiKey.id, ApiKey.project, ApiKey.name, ApiKey.hash, ApiKey.read_only, ApiKey.create_time)
    ),
)
_CREATE_ADMIN_KEY = Command(
    "projects.create_admin_key",
    AdminKey.insert(
        params(AdminKey.id, AdminKey.name, AdminKey.hash, AdminKey.read_only, AdminKey.create_time)
    ),
)
_KEY = Statement("projects.key", f"SELECT key.* FROM {lists.KEYS} key WHERE key.id = $id", ApiKeyRow._make)
_REVOKE = Statement(
    "projects.revoke",
    """
    WITH of_project AS (
      UPDATE api_key SET revoke_time = $now WHERE id = $id AND revoke_time IS NULL RETURNING project_id
    ), of_none AS (
      UPDATE admin_key SET revoke_time = $now WHERE id = $id AND revoke_time IS NULL RETURNING id
    )
    SELECT project_id FROM of_project UNION ALL SELECT '' FROM of_none
    """,
    tuple[str],
)
_AUTHENTICATE = Statement(
    "projects.authenticate",
    """
    SELECT hash, project_id, id, read_only, false FROM api_key
    WHERE hash = ANY($hashes) AND revoke_time IS NULL
    UNION ALL
    SELECT hash, '', id, read_only, true FROM admin_key
    WHERE hash = ANY($hashes) AND revoke_time IS NULL
    """,
    lambda row: (bytes(row[0]), Caller(row[1], row[2], row[3], admin=row[4])),
)


def project_name(value: str) -> str | None:
    """What a project's name has to be, or None for one that is right."""
    if not value.strip() or len(value) > LONGEST_NAME:
        return f"must have 1 to {LONGEST_NAME} characters, not all of them spaces"
    return None


def create(name: str, now: datetime, *, by: str | None = None) -> str:
    """Makes a project and returns its id. Raises InvalidArgument, ProjectNameTaken."""
    if description := project_name(name):
        raise errors.invalid("name", description)
    project_id = new_id("proj", now)
    with database.transaction():
        if not _CREATE.all(id=project_id, name=name, redirect_urls=[], create_time=now):
            raise admin_errors.ProjectNameTaken(name=name)
        admin_events.record("project.created", now, by, project_id=project_id, subject=name)
    return project_id


def get(project_id: str) -> ProjectRow:
    """The project with this id. Raises ProjectNotFound."""
    project = _BY_ID.first(id=project_id)
    if project is None:
        raise admin_errors.ProjectNotFound(id=project_id)
    return project


def every() -> list[ProjectRow]:
    """All projects, oldest first."""
    return lists.every(partial(lists.projects_page, ()))


def find(name_or_id: str) -> ProjectRow:
    """The project with this name or id. Raises CommandError when there is none."""
    project = _BY_NAME.first(name=name_or_id) or _BY_ID.first(id=name_or_id)
    if project is None:
        raise CommandError(f"There is no project {name_or_id!r}; `hitchpost projects list` shows all.")
    return project


def find_or_only(name_or_id: str | None) -> ProjectRow:
    """The project with this name or id, or the only one that there is. Raises CommandError."""
    if name_or_id is not None:
        return find(name_or_id)
    match every():
        case [project]:
            return project
    raise CommandError("There is not just one project; say which by --project.")


def add_redirect_url(
    project: ProjectRow, url: str, now: datetime, *, allow_http: bool = False, by: str | None = None
) -> None:
    """Allows `url`, exactly as it is, as a redirect_url of connection attempts.

    Raises InvalidArgument for an address that a browser may read otherwise, that is not encrypted, or for
    which there is no room.
    """
    if description := redirect_url(url):
        raise errors.invalid("redirect_url", description)
    if not (allow_http or url.startswith("https://")):
        raise errors.invalid("redirect_url", "must begin with https://; http:// is for dev mode")
    with database.transaction():
        if _ADD_REDIRECT.all(id=project.id, url=url):
            admin_events.record("redirect_url.added", now, by, project_id=project.id, subject=url)
        elif url not in get(project.id).redirect_urls:
            description = f"is one more than the {MOST_REDIRECT_URLS} that a project may have"
            raise errors.invalid("redirect_url", description)


def remove_redirect_url(project: ProjectRow, url: str, now: datetime, *, by: str | None = None) -> bool:
    """Takes `url` from the allow-list; whether it was there."""
    with database.transaction():
        if not _REMOVE_REDIRECT.all(id=project.id, url=url):
            return False
        admin_events.record("redirect_url.removed", now, by, project_id=project.id, subject=url)
    return True


def redirect_urls(caller: Caller) -> list[str]:
    """The allow-list of the caller's project."""
    project = _BY_ID.first(id=caller.project_id)
    return project.redirect_urls if project else []


def create_key(project_id: str, name: str, now: datetime, *, read_only: bool = False) -> str:
    """Makes a key and returns its text; see issue_key."""
    return issue_key(project_id, name, now, read_only=read_only)[1]


def issue_key(
    project_id: str | None, name: str, now: datetime, *, read_only: bool = False, by: str | None = None
) -> tuple[ApiKeyRow, str]:
    """Makes a key, an admin key where there is no project, and returns with it its text, which is not stored
    and can't be shown again."""
    text, key_id = api_keys.generate(), new_id("key", now)
    key = ApiKeyRow(key_id, project_id or "", name, read_only, now, None)
    values = {
        "id": key_id,
        "name": name,
        "hash": fingerprint(text),
        "read_only": read_only,
        "create_time": now,
    }
    with database.transaction():
        if project_id is None:
            _CREATE_ADMIN_KEY.run(**values)
        else:
            _CREATE_KEY.run(**values, project=project_id)
        admin_events.record("api_key.created", now, by, project_id=key.project_id, subject=key.id)
    return key, text


def keys(project: ProjectRow) -> list[ApiKeyRow]:
    """The project's keys, revoked ones too, oldest first."""
    return lists.every(partial(lists.keys_page, [project.id]))


def admin_keys() -> list[ApiKeyRow]:
    """All admin keys, revoked ones too, oldest first."""
    return lists.every(partial(lists.keys_page, [""]))


def key(key_id: str) -> ApiKeyRow:
    """The key with this id. Raises ApiKeyNotFound."""
    found = _KEY.first(id=key_id)
    if found is None:
        raise admin_errors.ApiKeyNotFound(id=key_id)
    return found


def revoke_key(key_id: str, now: datetime, *, by: str | None = None) -> bool:
    """Ends a key, within key_ring.REMEMBER_SECONDS on every worker; whether it was in use."""
    with database.transaction():
        revoked = _REVOKE.first(id=key_id, now=now)
        if revoked is not None:
            admin_events.record("api_key.revoked", now, by, project_id=revoked[0], subject=key_id)
    return revoked is not None


def callers(hashes: Iterable[bytes]) -> dict[bytes, Caller]:
    """Who calls with the keys that have these fingerprints; unknown and revoked ones are left out."""
    return dict(_AUTHENTICATE.all(hashes=list(hashes)))


def key_works(key: str) -> bool:
    """Whether the key is in use."""
    return bool(callers([fingerprint(key)]))


def ensure_dev_key(clock: Clock, kept: str | None) -> str:
    """The dev project's key: the kept one while it works, else a new one, with the project if need be."""
    if kept is not None and key_works(kept):
        return kept
    project = _BY_NAME.first(name="dev")
    project_id = project.id if project else create("dev", clock())
    return create_key(project_id, "dev", clock())
