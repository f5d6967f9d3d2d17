"""`hitchpost doctor`: what could keep a server from working, looked at one by one."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import NamedTuple

from cryptography.fernet import InvalidToken

from server import projects, schema
from server.config import Settings
from server.database import Database
from server.errors import HitchpostError
from server.vault import Vault

MAX_CLOCK_SKEW_SECONDS = 5.0


class Finding(NamedTuple):
    """One check: what was looked at, whether it is fine, and what was seen."""

    subject: str
    fine: bool
    detail: str


def examine(settings: Settings, database: Database) -> Iterator[Finding]:
    """Looks at everything; what needs the database, or its tables, is left out when there are none."""
    yield Finding("settings", True, f"dev mode {settings.dev_mode}, sandbox {settings.sandbox}")
    reachable = _finding("database", lambda: _database(database))
    yield reachable
    if reachable.fine:
        migrated = _finding("migrations", lambda: _migrations(database))
        yield migrated
        if migrated.fine:
            yield _finding("API keys", _api_keys)
            yield _finding("encryption keys", lambda: _encryption_keys(settings, database))
        yield _finding("clock", lambda: _clock(database))


class _Trouble(Exception):
    """The text says what is wrong."""


def _finding(subject: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(subject, True, look())
    except (_Trouble, HitchpostError, ValueError) as trouble:
        return Finding(subject, False, str(trouble))


def _database(database: Database) -> str:
    version = int(database.fetch("SHOW server_version_num", [])[0][0])
    if version < 150_000:
        raise _Trouble(f"PostgreSQL {version // 10_000} is too old; 15 is the oldest that works")
    return f"PostgreSQL {version // 10_000}"


def _migrations(database: Database) -> str:
    pending = schema.pending(database)
    if pending:
        raise _Trouble(f"not applied: {', '.join(pending)}; run hitchpost migrate")
    return "all applied"


def _api_keys() -> str:
    in_use = sum(key.revoke_time is None for project in projects.every() for key in projects.keys(project))
    if not in_use:
        raise _Trouble("there is none; run hitchpost projects create and hitchpost keys create")
    return f"{in_use} in use"


def _encryption_keys(settings: Settings, database: Database) -> str:
    if settings.encryption_keys is None:
        raise _Trouble("HITCHPOST_ENCRYPTION_KEYS is not set")
    vault = Vault(settings.encryption_keys.get_secret_value())
    stored = database.fetch("SELECT access_token FROM social_account_token LIMIT 1", [])
    try:
        for (token,) in stored:
            vault.decrypt(token)
    except InvalidToken:
        raise _Trouble("they can't decrypt the stored tokens; was a key removed too early?") from None
    return "they decrypt what is stored"


def _clock(database: Database) -> str:
    before = time.monotonic()
    theirs: datetime = database.fetch("SELECT clock_timestamp()", [])[0][0]
    skew = abs((datetime.now(UTC) - theirs).total_seconds()) - (time.monotonic() - before)
    if skew > MAX_CLOCK_SKEW_SECONDS:
        raise _Trouble(
            f"{skew:,.1f} s away from the database's, by which everything is scheduled and expires; "
            "the times in this machine's log and its checks of certificates are wrong: set its clock (NTP)"
        )
    return "agrees with the database's"
