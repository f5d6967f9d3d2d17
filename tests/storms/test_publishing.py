"""Posts under workers that die, a platform that hangs up, and a database that goes away: none is accepted
twice, none is lost, and each account's come in their order."""

import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from server.base.vault import Vault
from server.storage import schema
from server.storage.database import Database
from tests.conftest import ENCRYPTION_KEY
from tests.kit.servers import rows
from tests.storms.publish_platform import PublishPlatform, publish_platform
from tests.storms.publish_worker import Crew, settings
from tests.storms.publishing import ended, left, plant_accounts, plant_posts, verdict

VAULT = Vault(ENCRYPTION_KEY)
ACCOUNTS, POSTS, WORKERS = 500, 10_000, 4
MOST_SECONDS = 900.0
# Of connections, after the post was accepted.
DROPPED = 0.05
# When so much of it is done.
RESTARTS = (0.25, 0.6)


@pytest.fixture
def platform() -> Iterator[PublishPlatform]:
    with publish_platform() as platform:
        yield platform


@pytest.fixture
def migrated(own_postgres: Any) -> str:
    """The URL of a database with our tables, in a PostgreSQL that may be restarted."""
    own = Database()
    own.configure(own_postgres.get_uri(), timedelta(seconds=5))
    schema.migrate(own)
    return str(own_postgres.get_uri())


def remaining(url: str) -> int | None:
    """How many are not through; None while the database is away."""
    try:
        return left(url)
    except Exception:
        return None


def until_all_are_through(url: str, crew: Crew, postgres: Any) -> tuple[float, int]:
    """The seconds that it took, and how often PostgreSQL was restarted. One worker dies each second, until
    the last posts wait for the leases of those that died."""
    began, restarts = time.monotonic(), 0
    while (waiting := remaining(url)) != 0:
        assert time.monotonic() < began + MOST_SECONDS, f"{waiting} are left"
        time.sleep(1)
        if waiting is None:
            continue
        if restarts < len(RESTARTS) and waiting < POSTS * (1 - RESTARTS[restarts]):
            postgres.stop()
            postgres.start()
            restarts += 1
        if waiting > POSTS / 50:
            crew.kill_one()
    return time.monotonic() - began, restarts


def test_ten_thousand_posts_while_workers_die_and_connections_drop(
    own_postgres: Any, platform: PublishPlatform, migrated: str
) -> None:
    accounts = plant_accounts(migrated, VAULT, ACCOUNTS)
    plant_posts(migrated, accounts, POSTS, first=-60)
    rows(migrated, "ANALYZE")
    platform.behaves(seconds=0.02, dropped=DROPPED)
    with Crew(WORKERS, settings(migrated, platform.url, ENCRYPTION_KEY)) as crew:
        seconds, restarts = until_all_are_through(migrated, crew, own_postgres)
        deaths = crew.deaths
    counted = platform.counted()
    found = verdict(ended(migrated), counted["accepted"])
    print(
        f"\n{POSTS:,} posts on {ACCOUNTS} accounts in {seconds:.0f} s, {deaths} kills of {WORKERS} workers, "
        f"{restarts} restarts of PostgreSQL, {counted['dropped']:,} connections dropped: "
        f"{len(counted['accepted']):,} accepted; {found}"
    )
    assert found.is_right(), found
    assert sum(found.states.values()) == POSTS
    assert deaths > 20
    assert restarts == len(RESTARTS)
    assert counted["dropped"] > POSTS * DROPPED / 2
