"""`hitchpost doctor`: what could keep a server from working, looked at one by one."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Any, NamedTuple

from peewee import PeeweeException
from psycopg2.errors import InsufficientPrivilege

from server.base.errors import HitchpostError
from server.base.vault import Vault
from server.config import Settings
from server.projects import projects
from server.publish import stuck
from server.run import stored_secrets, tls, worker
from server.storage import schema, statement_log
from server.storage.database import Database
from server.storage.due_rows import LATE_SECONDS
from server.storage.due_work import Kind
from server.storage.forgetting import Forgetting

MAX_CLOCK_SKEW_SECONDS = 5.0


class Finding(NamedTuple):
    """One check: what was looked at, whether it is fine, and what was seen."""

    subject: str
    fine: bool
    detail: str


def examine(settings: Settings, database: Database) -> Iterator[Finding]:
    """Looks at everything; what needs the database, or its tables, is left out when there are none."""
    yield Finding("settings", True, f"dev mode {settings.dev_mode}, sandbox {settings.sandbox}")
    if settings.tls_cert is not None:
        yield _finding("TLS", lambda: tls.examine(settings, datetime.now(UTC)) or "")
    reachable = _finding("database", lambda: _database(database))
    yield reachable
    if reachable.fine:
        migrated = _finding("migrations", lambda: _migrations(database))
        yield migrated
        if migrated.fine:
            yield _finding("API keys", _api_keys)
            yield _finding("encryption keys", lambda: _encryption_keys(settings, database))
            for kind in worker.KINDS:
                yield _finding(f"due work, {kind.name}", partial(_due, kind))
            yield _finding("sending", _sending)
        yield _finding("connections", lambda: _connections(settings, database))
        yield _finding("PostgreSQL's log", lambda: _statement_log(database))
        yield _finding("clock", lambda: _clock(database))


class Trouble(Exception):
    """The text says what is wrong."""


def _finding(subject: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(subject, True, look())
    except HitchpostError as error:
        return Finding(subject, False, error.for_operator)
    except (InsufficientPrivilege, PeeweeException) as error:
        return Finding(subject, False, str(error).strip().splitlines()[0])
    except (Trouble, tls.TlsUnusable, ValueError) as trouble:
        return Finding(subject, False, str(trouble))


def _database(database: Database) -> str:
    version = int(database.fetch("SHOW server_version_num", [])[0][0])
    if version < 150_000:
        raise Trouble(f"PostgreSQL {version // 10_000} is too old; 15 is the oldest that works")
    database.require_primary()
    refuse_swapped_sessions(database)
    return f"PostgreSQL {version // 10_000}"


def _statement_log(database: Database) -> str:
    if loud := database.fetch(statement_log.LOUD):
        raise Trouble(statement_log.remedy(loud))
    return "gets nothing that callers send"


def refuse_swapped_sessions(database: Database) -> None:
    """Raises Trouble behind a pooler that would run one connection's statements in another's session."""
    if not database.keeps_sessions():
        raise Trouble(
            "HITCHPOST_DATABASE_URL leads to a pooler that swaps sessions between statements, as PgBouncer "
            "does with pool_mode = transaction; set pool_mode = session there, or go to PostgreSQL itself"
        )


def _migrations(database: Database) -> str:
    pending = schema.pending(database)
    if pending:
        raise Trouble(f"not applied: {', '.join(pending)}; run hitchpost migrate")
    if schema.unfinished(database):
        return "all applied; when no server of the version before is left, run hitchpost migrate --finish"
    return "all applied"


def _api_keys() -> str:
    in_use = sum(key.revoke_time is None for project in projects.every() for key in projects.keys(project))
    if not in_use:
        raise Trouble("there is none; run hitchpost projects create and hitchpost keys create")
    return f"{in_use} in use"


def _encryption_keys(settings: Settings, database: Database) -> str:
    if settings.encryption_keys is None:
        raise Trouble("HITCHPOST_ENCRYPTION_KEYS is not set")
    keys = settings.encryption_keys.get_secret_value()
    counts = [stored_secrets.count(kind, Vault(keys), database) for kind in stored_secrets.KINDS]
    said = "they decrypt " + ", ".join(map(str, counts))
    if any(count.decrypted < count.stored for count in counts):
        raise Trouble(f"{said}; was a key removed too early?")
    if "," in keys:
        said += f"; {stored_secrets.older_keys(counts)}"
    return said


def _due(kind: Kind[Any] | Forgetting) -> str:
    due, late, ran_out = kind.backlog()
    said = f"{due:,} due, the oldest for {late:,.0f} s, {ran_out:,} leases ran out"
    if late > LATE_SECONDS:
        raise Trouble(f"{said}; does hitchpost serve --role worker run, and what does its log say?")
    return said


def _sending() -> str:
    sending, unconfirmed = stuck.look()
    said = f"{sending:,} for more than {stuck.SENDING_MINUTES} minutes, {unconfirmed:,} UNCONFIRMED"
    if sending:
        raise Trouble(f"{said}; what does the worker's log say, and does the platform answer?")
    return f"{said}, which wait for ResolveSocialPostTarget" if unconfirmed else said


def _connections(settings: Settings, database: Database) -> str:
    [(most,)] = database.fetch("SHOW max_connections")
    [(reserved,)] = database.fetch("SHOW superuser_reserved_connections")
    accepted = int(most) - int(reserved)
    wanted = settings.most_connections
    if wanted > accepted:
        raise Trouble(
            f"hitchpost serve may need {wanted}, and PostgreSQL accepts {accepted}: raise max_connections, "
            "or lower HITCHPOST_WORKERS, _THREADS, _PLATFORM_THREADS or _WORKER_THREADS"
        )
    return f"{wanted} at most for hitchpost serve here, of {accepted}"


def _clock(database: Database) -> str:
    before = time.monotonic()
    theirs: datetime = database.fetch("SELECT clock_timestamp()", [])[0][0]
    skew = abs((datetime.now(UTC) - theirs).total_seconds()) - (time.monotonic() - before)
    if skew > MAX_CLOCK_SKEW_SECONDS:
        raise Trouble(
            f"{skew:,.1f} s away from the database's, by which everything is scheduled and expires; "
            "the times in this machine's log and its checks of certificates are wrong: set its clock (NTP)"
        )
    return "agrees with the database's"
