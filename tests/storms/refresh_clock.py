"""Refreshes by a clock that this file sets, in the database, too: hours of a worker's life in a minute."""

import logging
import random
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any, NamedTuple

from server.accounts.refresh_records import KIND
from server.accounts.refreshes import Refresher
from server.base.vault import Vault
from server.platforms import (
    Authorization,
    ClientApp,
    Platform,
    Platforms,
    PlatformUnreachable,
    Profile,
    Tokens,
)
from server.projects.platform_apps import PlatformApps
from server.storage.database import database
from server.storage.due_work import Handling

START = datetime(2030, 1, 1, tzinfo=UTC)
# What a worker's four threads do at once: one is kept free.
LANES = 3
LIFE = timedelta(hours=2)
ANSWER_SECONDS, HANG_SECONDS = 0.3, 10.0
# Statements find this now() before PostgreSQL's.
CLOCK = """
    CREATE SCHEMA simulated;
    CREATE FUNCTION simulated.now() RETURNS timestamptz STABLE LANGUAGE sql
      AS $$ SELECT current_setting('simulated.now')::timestamptz $$;
    DO $$ BEGIN
      EXECUTE 'ALTER DATABASE ' || current_database() || ' SET search_path = simulated, pg_catalog, public';
      EXECUTE 'ALTER DATABASE ' || current_database() || ' SET synchronous_commit = off';
    END $$"""


class Refreshed(NamedTuple):
    """One success: the account, when it was due and when it was asked for, seconds, and what was left."""

    account_id: str
    late: float
    left: float


class Clock:
    """The time of the worker and of the database."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> datetime:
        return START + timedelta(seconds=self.seconds)

    def set(self, seconds: float) -> None:
        """It is now so many seconds after the start."""
        self.seconds = seconds
        database.fetch("SELECT set_config('simulated.now', %s, false)", [self().isoformat()])


class MockPlatform(Platform):
    """Tokens are the account's id. Those of accounts that begin with `bad` fail always, of `hang` slowly."""

    name = platform = app_of = "sandbox"
    chosen_by: Mapping[str, str] = {}
    own_app = ClientApp("everybody's")

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock
        self.refreshed: list[Refreshed] = []
        self.failures = 0

    def refresh(self, app: ClientApp, tokens: Tokens, now: datetime, until: float) -> Tokens:
        """Takes its time."""
        account_id = tokens.access_token
        hangs = account_id.startswith("hang")
        self._clock.set(self._clock.seconds + (HANG_SECONDS if hangs else ANSWER_SECONDS))
        if hangs or account_id.startswith("bad"):
            self.failures += 1
            raise PlatformUnreachable("HTTP 502")
        assert tokens.expire_time is not None
        due = tokens.expire_time - LIFE * 0.15
        answered = self._clock()
        self.refreshed.append(
            Refreshed(
                account_id,
                (answered - due).total_seconds(),
                (tokens.expire_time - answered).total_seconds(),
            )
        )
        return Tokens(account_id, tokens.refresh_token, answered + LIFE, ())

    def can_refresh(self, tokens: Tokens) -> bool:
        """Always."""
        return True

    def begin(self, app: ClientApp, **asked: Any) -> Authorization:
        raise NotImplementedError

    def exchange(self, app: ClientApp, **asked: Any) -> Tokens:
        raise NotImplementedError

    def profiles(self, app: ClientApp, tokens: Tokens, now: datetime, until: float) -> list[Profile]:
        raise NotImplementedError

    def revoke(self, app: ClientApp, tokens: Tokens, until: float) -> None:
        raise NotImplementedError


def plant(vault: Vault, projects: Mapping[str, Sequence[str]]) -> None:
    """These accounts, by project, connected at any time in the two hours before, but those that fail together
    as in an outage: they are due at once."""
    chance = random.Random(3)
    refresh_token = vault.encrypt("r")
    for project, ids in projects.items():
        database.fetch("INSERT INTO project VALUES (%s, %s, '{}', now())", [project, project])
        left = [
            LIFE.total_seconds() * (chance.uniform(0.2, 1.0) if id_.startswith("good") else 0.3)
            for id_ in ids
        ]
        tokens = [vault.encrypt(id_) for id_ in ids]
        database.fetch(
            """
            WITH planted AS (
              SELECT * FROM unnest(%s::text[], %s::float8[], %s::bytea[]) AS of (id, seconds, token)
            ), accounts AS (
              INSERT INTO social_account (
                project_id, id, platform, platform_user_id, username, display_name, profile_photo_url,
                state, scopes, access_token_expire_time, metadata, version, create_time, update_time,
                connect_time)
              SELECT %s, id, 1, id, '', '', '', 1, '{}', now() + seconds * interval '1 second', '{}', 1,
                now(), now(), now()
              FROM planted
            )
            INSERT INTO social_account_token (
              project_id, social_account_id, access_token, refresh_token, due_time, attempt,
              refresh_failures)
            SELECT %s, id, token, %s, now() + (seconds - 0.2 * %s) * interval '1 second', 0, 0
            FROM planted""",
            [list(ids), left, tokens, project, project, refresh_token, LIFE.total_seconds()],
        )


def simulate(url: str, key: str, projects: Mapping[str, Sequence[str]], hours: float, result: Any) -> None:
    """Puts into `result` what was refreshed, and how many tries failed. Its database has CLOCK."""
    logging.disable()
    database.configure(url, timedelta(seconds=20))
    clock, vault = Clock(), Vault(key)
    clock.set(0)
    plant(vault, projects)
    database.fetch("ANALYZE")
    platform = MockPlatform(clock)
    refresher = Refresher(clock, vault, Platforms([platform]), PlatformApps(vault))
    work = Handling(KIND, refresher.refresh)
    lanes = [0.0] * LANES
    while (now := min(lanes)) < hours * 3600:
        lane = lanes.index(now)
        clock.set(now)
        if work.turn(f"lane/{lane}", lambda: None, Event()):
            lanes[lane] = clock.seconds
        else:
            lanes[lane] = max(now + 1.0, _next(hours))
    result.put((platform.refreshed, platform.failures))


def _next(hours: float) -> float:
    """When the next row is due, in seconds from the start."""
    [(due,)] = database.fetch("SELECT min(due_time) FROM social_account_token")
    return (due - START).total_seconds() if due else hours * 3600
