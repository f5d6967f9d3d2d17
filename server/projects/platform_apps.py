"""Apps of platforms: the OAuth clients that a project, or one of its owners, has registered there."""

import json
from datetime import datetime
from typing import NamedTuple

from server.base.identity import new_id
from server.base.platform_names import platform_number
from server.base.vault import Vault
from server.platforms import ClientApp, Platform
from server.storage.database import database
from server.storage.statements import Command, Statement


class StoredApp(NamedTuple):
    """An app; `secrets` are its secret and settings, encrypted JSON. The project's own has the owner ""."""

    project_id: str
    id: str
    platform: int
    external_id: str
    instance: str
    client_id: str
    secrets: memoryview
    create_time: datetime
    update_time: datetime
    retire_time: datetime | None


COLUMNS = ", ".join(StoredApp._fields)
_FIND = Statement(
    "platform_apps.find",
    f"""
    SELECT {COLUMNS} FROM platform_app
    WHERE project_id = $project AND platform = $platform AND external_id = ANY($owners)
      AND instance = $instance AND retire_time IS NULL
    ORDER BY external_id DESC LIMIT 1           -- the owner's goes before the project's, which is ''
    """,
    StoredApp._make,
)
_GET = Statement(
    "platform_apps.get",
    f"SELECT {COLUMNS} FROM platform_app WHERE project_id = $project AND id = $id",
    StoredApp._make,
)
# Nothing where another app is in use.
INSERT = Statement(
    "platform_apps.insert",
    f"""
    INSERT INTO platform_app (project_id, id, platform, external_id, instance, client_id, secrets,
                              create_time, update_time)
    VALUES ($project, $id, $platform, $owner, $instance, $client_id, $secrets, $now, $now)
    ON CONFLICT (project_id, platform, external_id, instance) WHERE retire_time IS NULL DO NOTHING
    RETURNING {COLUMNS}
    """,
    StoredApp._make,
)
_RETIRE = Command(
    "platform_apps.retire",
    """
    UPDATE platform_app SET retire_time = $now, update_time = $now
    WHERE project_id = $project AND id = $id AND retire_time IS NULL
    """,
)


class PlatformApps:
    """The apps of all projects."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def find(self, project_id: str, platform: int, owner: str | None, instance: str = "") -> StoredApp | None:
        """The app that connects profiles for this owner: theirs, else the project's."""
        owners = ["", *([owner] if owner else [])]
        return _FIND.first(project=project_id, platform=platform, owners=owners, instance=instance)

    def get(self, project_id: str, app_id: str) -> StoredApp | None:
        """An app by its id, in use or retired."""
        return _GET.first(project=project_id, id=app_id)

    def of_tokens(self, project_id: str, way: Platform, app_id: str | None) -> ClientApp | None:
        """The client that tokens belong to; None when it is gone.

        Imported ones don't say: they are most likely of the app that the project uses.
        """
        if way.own_app is not None:
            return way.own_app
        app = (
            self.get(project_id, app_id)
            if app_id
            else self.find(project_id, platform_number(way.app_of), None)
        )
        return self.client(app) if app else None

    def keep(
        self,
        project_id: str,
        platform: int,
        instance: str,
        client: ClientApp,
        *,
        instead_of: StoredApp | None,
        now: datetime,
    ) -> StoredApp | None:
        """The project's app at an instance, which has just been registered there, or the one that another
        call has registered at the same time. An app that it replaces is retired."""
        with database.transaction():
            if instead_of is not None:
                _RETIRE.run(project=project_id, id=instead_of.id, now=now)
            INSERT.all(
                project=project_id,
                id=new_id("pa", now),
                platform=platform,
                owner="",
                instance=instance,
                client_id=client.client_id,
                secrets=self.sealed(client),
                now=now,
            )
        return self.find(project_id, platform, None, instance)

    def client(self, app: StoredApp) -> ClientApp:
        """The client that it is at its platform. Raises cryptography.fernet.InvalidToken."""
        secrets = json.loads(self._vault.decrypt(app.secrets))
        return ClientApp(app.client_id, secrets["client_secret"], secrets["settings"])

    def sealed(self, client: ClientApp) -> bytes:
        """The client's secret and settings as they may be stored; `client` reads them again."""
        secrets = {"client_secret": client.client_secret, "settings": dict(client.settings)}
        return self._vault.encrypt(json.dumps(secrets))
