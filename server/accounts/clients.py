"""The OAuth client that an attempt begins with: everybody's, an app that was set, or one that registers
itself."""

from datetime import datetime

from cryptography.fernet import InvalidToken

from server.accounts.attempt_records import Attempt
from server.accounts.ownership import Claimant
from server.base import errors
from server.base.platform_names import platform_number
from server.platforms import Asked, ClientApp, Platform, PlatformRefused, PlatformUnreachable
from server.projects.platform_apps import PlatformApps, StoredApp


def to_begin_with(
    apps: PlatformApps, claimant: Claimant, way: Platform, asked: Asked, until: float, now: datetime
) -> tuple[str | None, ClientApp]:
    """The id of the app that connects for this owner, None for everybody's, and the client that it is.

    Raises PlatformNotConfigured; for a platform where an app registers itself PlatformUnavailable, and
    InvalidArgument when that is refused.
    """
    if way.own_app is not None:
        return None, way.own_app
    platform, instance = platform_number(way.app_of), way.instance(asked.options)
    stored = apps.find(claimant.project_id, platform, claimant.owner, instance)
    known = _client(apps, stored, way) if stored else None
    client = _registered(way, known, asked, until)
    if client is not known and client is not None:
        stored = apps.keep(claimant.project_id, platform, instance, client, instead_of=stored, now=now)
    if stored is None:
        raise errors.PlatformNotConfigured(platform=way.app_of)
    return stored.id, _client(apps, stored, way)


def begun_with(apps: PlatformApps, attempt: Attempt, way: Platform) -> ClientApp:
    """The client that an attempt was begun with. Raises PlatformNotConfigured when it is gone."""
    try:
        app = apps.of_tokens(attempt.project_id, way, attempt.platform_app_id)
    except InvalidToken:
        app = None
    if app is None:
        raise errors.PlatformNotConfigured(platform=way.app_of)
    return app


def _client(apps: PlatformApps, stored: StoredApp, way: Platform) -> ClientApp:
    """What no encryption key decrypts is as good as gone: whoever sets the app again has one."""
    try:
        return apps.client(stored)
    except InvalidToken:
        raise errors.PlatformNotConfigured(platform=way.app_of) from None


def _registered(way: Platform, known: ClientApp | None, asked: Asked, until: float) -> ClientApp | None:
    try:
        return way.register(known, asked, until)
    except PlatformRefused as refused:
        where = f"platform_options.{way.platform}.instance"
        raise errors.invalid(where, "no app can be registered there") from refused
    except PlatformUnreachable as unreachable:
        raise errors.PlatformUnavailable(platform=way.platform) from unreachable
