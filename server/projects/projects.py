"""Projects, their API keys and redirect allow-lists."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

import peewee

from server.base.identity import Caller, Clock, new_id
from server.base.vault import fingerprint
from server.projects import api_keys
from server.projects.redirect_urls import redirect_url
from server.storage.models import ApiKey, Project
from server.storage.statements import Command, Statement, any_of, param, params


class CommandError(Exception):
    """What the operator asked for can't be done; the text says why."""


class ProjectRow(NamedTuple):
    """A project; redirect_urls are compared exactly."""

    id: str
    name: str
    redirect_urls: list[str]
    create_time: datetime


class ApiKeyRow(NamedTuple):
    """A key without its text, which nobody can read again."""

    id: str
    name: str
    read_only: bool
    create_time: datetime
    revoke_time: datetime | None


_PROJECT = [getattr(Project, name) for name in ProjectRow._fields]
_CREATE = Statement(
    "projects.create",
    Project.insert(params(*_PROJECT)).on_conflict_ignore().returning(Project.id),
    tuple[Any, ...],
)
_PROJECTS = Statement("projects.projects", Project.select(*_PROJECT).order_by(Project.id), ProjectRow._make)
_BY_NAME = Statement(
    "projects.by_name", Project.select(*_PROJECT).where(Project.name == param("name")), ProjectRow._make
)
_BY_ID = Statement(
    "projects.by_id", Project.select(*_PROJECT).where(Project.id == param("id")), ProjectRow._make
)
_ADD_REDIRECT = Command(
    "projects.add_redirect",
    Project.update(
        {Project.redirect_urls: peewee.fn.array_append(Project.redirect_urls, param("url"))}
    ).where((Project.id == param("id")) & ~(param("url") == peewee.fn.ANY(Project.redirect_urls))),
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
_KEYS = Statement(
    "projects.keys",
    ApiKey.select(*[getattr(ApiKey, name) for name in ApiKeyRow._fields])
    .where(ApiKey.project == param("project"))
    .order_by(ApiKey.id),
    ApiKeyRow._make,
)
_REVOKE = Statement(
    "projects.revoke",
    ApiKey.update({ApiKey.revoke_time: param("now")})
    .where((ApiKey.id == param("id")) & ApiKey.revoke_time.is_null())
    .returning(ApiKey.id),
    tuple[Any, ...],
)
_AUTHENTICATE = Statement(
    "projects.authenticate",
    ApiKey.select(ApiKey.hash, ApiKey.project, ApiKey.id, ApiKey.read_only).where(
        any_of(ApiKey.hash, "hashes") & ApiKey.revoke_time.is_null()
    ),
    lambda row: (bytes(row[0]), Caller(*row[1:])),
)


def create(name: str, now: datetime) -> str:
    """Makes a project and returns its id. Raises CommandError when the name is taken."""
    if not name.strip() or len(name) > 255:
        raise CommandError("A project's name has 1 to 255 characters.")
    project_id = new_id("proj", now)
    if not _CREATE.all(id=project_id, name=name, redirect_urls=[], create_time=now):
        raise CommandError(f"There is a project named {name!r} already.")
    return project_id


def every() -> list[ProjectRow]:
    """All projects, oldest first."""
    return _PROJECTS.all()


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


def add_redirect_url(project: ProjectRow, url: str, *, allow_http: bool = False) -> None:
    """Allows `url`, exactly as it is, as a redirect_url of connection attempts.

    Raises CommandError for an address that a browser may read otherwise, or that is not encrypted.
    """
    if description := redirect_url(url):
        raise CommandError(f"A redirect URL {description}.")
    if not (allow_http or url.startswith("https://")):
        raise CommandError("A redirect URL begins with https://; http:// is for dev mode.")
    _ADD_REDIRECT.run(id=project.id, url=url)


def remove_redirect_url(project: ProjectRow, url: str) -> None:
    """Takes `url` from the allow-list. Raises CommandError when it is not there."""
    if not _REMOVE_REDIRECT.all(id=project.id, url=url):
        raise CommandError(f"{url!r} is not on the allow-list; `hitchpost projects list` shows what is.")


def redirect_urls(caller: Caller) -> list[str]:
    """The allow-list of the caller's project."""
    project = _BY_ID.first(id=caller.project_id)
    return project.redirect_urls if project else []


def create_key(project_id: str, name: str, now: datetime, *, read_only: bool = False) -> str:
    """Makes a key and returns its text, which is not stored and can't be shown again."""
    key = api_keys.generate()
    _CREATE_KEY.run(
        id=new_id("key", now),
        project=project_id,
        name=name,
        hash=fingerprint(key),
        read_only=read_only,
        create_time=now,
    )
    return key


def keys(project: ProjectRow) -> list[ApiKeyRow]:
    """The project's keys, revoked ones too, oldest first."""
    return _KEYS.all(project=project.id)


def revoke_key(key_id: str, now: datetime) -> None:
    """Ends a key, within key_ring.REMEMBER_SECONDS on every worker.

    Raises CommandError for one that is unknown or has ended.
    """
    if not _REVOKE.all(id=key_id, now=now):
        raise CommandError(f"There is no key {key_id!r} in use; `hitchpost keys list` shows all.")


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
