"""Apps of platforms as those see them whose they are: set, listed, deleted.

One app a platform and owner is in use. Whoever changes a project's apps holds its row until the transaction
ends, so that changes come one after the other; the unique index of apps in use would refuse what got past it.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from cryptography.fernet import InvalidToken

from server.base import errors
from server.base.errors import FieldViolation, InvalidArgument
from server.base.identity import Caller, Clock, confine, new_id
from server.base.platform_names import platform_name
from server.platforms import ClientApp, Platforms
from server.projects.platform_apps import COLUMNS, INSERT, PlatformApps, StoredApp
from server.storage.database import database
from server.storage.listing import Found
from server.storage.statements import Command, Statement

# Those that Hitchpost registers by itself have an `instance`, and are nobody's to change.
_THEIRS = "project_id = $project AND instance = ''"
_SAME_PLACE = f"{_THEIRS} AND platform = $platform AND external_id = $owner"
_HOLD = Statement(
    "platform_apps.hold", "SELECT id FROM project WHERE id = $project FOR NO KEY UPDATE", tuple[Any, ...]
)
# Locked, too: who forgets an owner erases the apps without holding the project.
_SAME = Statement(
    "platform_apps.same",
    f"SELECT {COLUMNS} FROM platform_app WHERE {_SAME_PLACE} AND client_id = $client_id FOR UPDATE",
    StoredApp._make,
)
_RETIRE_OTHERS = Command(
    "platform_apps.retire_others",
    f"""
    UPDATE platform_app SET retire_time = $now, update_time = $now
    WHERE {_SAME_PLACE} AND client_id <> $client_id AND retire_time IS NULL
    """,
)
_RENEW = Statement(
    "platform_apps.renew",
    f"""
    UPDATE platform_app SET secrets = $secrets, update_time = $now, retire_time = NULL
    WHERE project_id = $project AND id = $id
    RETURNING {COLUMNS}
    """,
    StoredApp._make,
)
_LIST = Statement(
    "platform_apps.list",
    f"""
    SELECT {COLUMNS} FROM platform_app
    WHERE {_THEIRS}
      AND ($owners::text[] IS NULL OR external_id = ANY($owners))
      AND ($platforms::smallint[] IS NULL OR platform = ANY($platforms))
      AND ($after::text IS NULL OR id < $after)
    ORDER BY id DESC LIMIT $limit
    """,
    StoredApp._make,
)
_OWNER = Statement(
    "platform_apps.owner",
    f"SELECT external_id FROM platform_app WHERE {_THEIRS} AND id = $id",
    tuple[str],
)
_DELETE = Command("platform_apps.delete", "DELETE FROM platform_app WHERE project_id = $project AND id = $id")


class RegisteredApp(NamedTuple):
    """An app as it may be shown: by the names of the contract's fields."""

    id: str
    platform: int
    external_id: str | None
    client_id: str
    has_client_secret: bool
    setting_names: list[str]
    create_time: datetime
    update_time: datetime
    retire_time: datetime | None


class RegisteredApps:
    """The apps of all projects, for who calls."""

    def __init__(self, clock: Clock, platforms: Platforms, apps: PlatformApps) -> None:
        self._clock = clock
        self._platforms = platforms
        self._apps = apps

    def set(
        self,
        caller: Caller,
        platform: int,
        external_id: str | None,
        *,
        client_id: str,
        client_secret: str | None,
        settings: Mapping[str, str],
    ) -> RegisteredApp:
        """Takes the client into use for the owner, else for whom the call is confined to, else the project.

        Without a secret the client keeps the one that it has here. Raises OwnerMismatch, InvalidArgument.
        """
        owner = caller.owner if external_id is None else external_id
        confine(caller, owner)
        self._check(platform, settings)
        now = self._clock()
        place = {"project": caller.project_id, "platform": platform, "owner": owner or ""}
        with database.transaction():
            _HOLD.all(project=caller.project_id)
            same = _SAME.first(**place, client_id=client_id)
            client = ClientApp(client_id, self._secret(client_secret, same), settings)
            secrets = self._apps.sealed(client)
            _RETIRE_OTHERS.run(**place, client_id=client_id, now=now)
            if same is not None:
                [stored] = _RENEW.all(project=caller.project_id, id=same.id, secrets=secrets, now=now)
            else:
                values = {**place, "id": new_id("pa", now), "client_id": client_id, "secrets": secrets}
                [stored] = INSERT.all(**values, instance="", now=now)
        return self._shown(stored)

    def list_page(
        self, caller: Caller, owners: Sequence[str], platforms: Sequence[int], after: str | None, size: int
    ) -> Found[RegisteredApp]:
        """At most `size` apps that are older than the one with the id `after`, newest first; no owners or
        platforms: all. Raises OwnerMismatch when a confined call names another owner."""
        confine(caller, *owners)
        if caller.owner is not None:
            owners = [caller.owner]
        found = _LIST.all(
            project=caller.project_id,
            owners=list(owners) or None,
            platforms=list(platforms) or None,
            after=after,
            limit=size + 1,
        )
        return Found([self._shown(app) for app in found[:size]], len(found) > size)

    def delete(self, caller: Caller, app_id: str) -> None:
        """Erases the app and its secret. Raises PlatformAppNotFound, OwnerMismatch."""
        with database.transaction():
            _HOLD.all(project=caller.project_id)
            found = _OWNER.first(project=caller.project_id, id=app_id)
            if found is None:
                raise errors.PlatformAppNotFound(id=app_id)
            confine(caller, found[0] or None)
            _DELETE.run(project=caller.project_id, id=app_id)

    def _check(self, platform: int, settings: Mapping[str, str]) -> None:
        """Raises InvalidArgument for a platform that takes no app, and for settings it has not or lacks."""
        try:
            known = self._platforms.app_settings(platform_name(platform))
        except ValueError as error:
            raise errors.invalid("platform", str(error)) from None
        names = ", ".join(known) or "none"
        unknown = sorted(settings.keys() - known.keys())
        # The first one only: an error with all that a caller has made up could be too long to be sent.
        wrong = [
            FieldViolation(f"settings.{name}", f"is no setting of this platform's apps, which have: {names}")
            for name in unknown[:1]
        ]
        wrong += [
            FieldViolation(f"settings.{name}", "is required by this platform")
            for name, needed in known.items()
            if needed and not settings.get(name)
        ]
        if wrong:
            raise InvalidArgument(wrong)

    def _secret(self, given: str | None, same: StoredApp | None) -> str:
        """The secret that the app is to have: a new one, or that of the same client."""
        if given is not None or same is None:
            return given or ""
        try:
            return self._apps.client(same).client_secret
        except InvalidToken:
            description = "is needed: no encryption key decrypts the one that is stored"
            raise errors.invalid("client_secret", description) from None

    def _shown(self, app: StoredApp) -> RegisteredApp:
        try:
            client = self._apps.client(app)
        except InvalidToken:
            client = ClientApp(app.client_id)
        return RegisteredApp(
            id=app.id,
            platform=app.platform,
            external_id=app.external_id or None,
            client_id=app.client_id,
            has_client_secret=bool(client.client_secret),
            setting_names=sorted(client.settings),
            create_time=app.create_time,
            update_time=app.update_time,
            retire_time=app.retire_time,
        )
