"""The composition root: settings -> the objects that every process is made of."""

from dataclasses import dataclass

from server import platforms
from server.accounts.accounts import Accounts
from server.accounts.app_passwords import AppPasswords
from server.accounts.attempts import Attempts
from server.accounts.confirmations import Confirmations
from server.accounts.publishing import PublishingAccounts
from server.accounts.refreshes import Refresher
from server.accounts.revocations import Revoker
from server.base.identity import Clock
from server.base.vault import Vault
from server.config import SettingMissing, Settings
from server.platforms import Platforms, bluesky
from server.platforms.atproto_client import AtprotoClient, read_key
from server.platforms.bluesky import Bluesky
from server.platforms.http import Http
from server.posts.dispatch import Dispatch
from server.posts.posts import Posts
from server.projects.platform_apps import PlatformApps
from server.projects.registered_apps import RegisteredApps
from server.publish import publishers
from server.publish.publishers import Publishers
from server.publish.rehearsal import Rehearsal
from server.publish.sender import Sender
from server.publish.slow_servers import SlowServers
from server.storage.clock import DatabaseClock
from server.storage.database import database


@dataclass(frozen=True)
class App:
    """What every process is made of."""

    settings: Settings
    accounts: Accounts
    attempts: Attempts
    confirmations: Confirmations
    app_passwords: AppPasswords
    posts: Posts
    dispatch: Dispatch
    rehearsal: Rehearsal
    platform_apps: RegisteredApps
    revoker: Revoker
    refresher: Refresher
    sender: Sender
    bluesky: Bluesky
    clock: Clock


def build(settings: Settings, clock: Clock | None = None) -> App:
    """Wires the objects; time is the database's, unless a test gives another. Raises SettingMissing."""
    if settings.database_url is None:
        raise SettingMissing("HITCHPOST_DATABASE_URL is not set")
    vault = vault_of(settings)
    database.configure(settings.database_url.get_secret_value(), settings.statement_timeout)
    clock = clock or DatabaseClock(database)
    sky = bluesky_of(settings)
    connectable = Platforms([*rows_of(settings), sky])
    apps = PlatformApps(vault)
    accounts = Accounts(clock, vault, connectable)
    confirmations = Confirmations(clock, vault, accounts)
    attempts = Attempts(
        clock,
        vault,
        connectable,
        apps,
        accounts,
        confirmations,
        callback_url=settings.callback_url,
        own_callback=settings.callback_url == f"{settings.public_url}/callback",
        allow_loopback=settings.dev_mode,
    )
    return App(
        settings,
        accounts,
        attempts,
        confirmations,
        AppPasswords(clock, sky, accounts),
        Posts(clock),
        Dispatch(clock),
        Rehearsal(clock, Http(allow_private=settings.allow_private_addresses).named("media")),
        RegisteredApps(clock, connectable, apps),
        Revoker(vault, connectable, apps),
        Refresher(clock, vault, connectable, apps),
        Sender(
            PublishingAccounts(vault, connectable, apps),
            publishers_of(settings),
            SlowServers(max(1, settings.worker_threads // 2)),
        ),
        sky,
        clock,
    )


def vault_of(settings: Settings) -> Vault:
    """What encrypts and decrypts. Raises SettingMissing."""
    if settings.encryption_keys is None:
        raise SettingMissing(
            "HITCHPOST_ENCRYPTION_KEYS is not set; outside dev mode nobody makes one for you"
        )
    return Vault(settings.encryption_keys.get_secret_value())


def rows_of(settings: Settings) -> Platforms:
    """The platforms that are rows of a table."""
    return platforms.load(
        settings.public_url,
        allow_private=settings.allow_private_addresses,
        more=settings.platforms_file,
        without=() if settings.sandbox else ("sandbox",),
    )


def publishers_of(settings: Settings) -> Publishers:
    """The platforms that can be published to."""
    return publishers.load(
        settings.public_url,
        allow_private=settings.allow_private_addresses,
        without=() if settings.sandbox else ("sandbox",),
    )


def bluesky_of(settings: Settings) -> Bluesky:
    """The platform that is none."""
    key = read_key(settings.bluesky_key) if settings.bluesky_key else None
    return bluesky.load(
        AtprotoClient(settings.public_url, key),
        settings.plc_url,
        settings.name_server,
        allow_private=settings.allow_private_addresses,
    )
