"""However much is due, a lease reads little of it, and finds what may be sent behind what has to wait."""

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import psycopg2
import pytest

from server.base.vault import Vault
from server.publish.records import KIND
from tests.conftest import ENCRYPTION_KEY
from tests.kit.servers import rows
from tests.storms.publishing import plant_accounts, plant_posts

ACCOUNTS, MANY = 100, 3_000
LEASE = KIND._lease


class Place:
    """A database of its own, with accounts."""

    def __init__(self, url: str, cursor: Any) -> None:
        self.url = url
        self.accounts = plant_accounts(url, Vault(ENCRYPTION_KEY), ACCOUNTS)
        self._cursor = cursor
        cursor.execute(LEASE.prepare)

    def lease(self, before: str = "") -> list[tuple[Any, ...]]:
        """What a lease brings; with EXPLAIN before it, what that says."""
        self._cursor.execute(f"{before} {LEASE.execute}", LEASE.arguments({"worker": "me", "seconds": 30.0}))
        found: list[tuple[Any, ...]] = self._cursor.fetchall()
        return found


@pytest.fixture
def place(new_database: Callable[[], str]) -> Iterator[Place]:
    url = new_database()
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        cursor = connection.cursor()
        # As the product's connections.
        cursor.execute("SET enable_seqscan = off; SET jit = off")
        yield Place(url, cursor)


def read(plan: dict[str, Any]) -> float:
    """How many rows the scans of tables in a plan have found."""
    below = sum(read(inner) for inner in plan.get("Plans", ()))
    scanned = plan["Actual Rows"] * plan["Actual Loops"] if "Index Name" in plan else 0.0
    return float(scanned + below)


def test_where_many_are_due_the_oldest_suffice(place: Place) -> None:
    plant_posts(place.url, place.accounts, MANY, first=-60)
    rows(place.url, "ANALYZE")
    [([explained],)] = place.lease("EXPLAIN (ANALYZE, FORMAT JSON)")
    assert read(explained["Plan"]) < MANY / 2
    assert len(place.lease()) == 16


def test_what_has_to_wait_hides_nobody(place: Place) -> None:
    """More than the oldest that are looked at first wait for one that is tried again later."""
    plant_posts(place.url, place.accounts[:1], 400, first=-3600, prefix="waits_")
    later = "UPDATE social_post_target SET due_time = now() + interval '1 hour' WHERE social_post_id = %s"
    rows(place.url, later, f"waits_{1:09}")
    plant_posts(place.url, place.accounts[1:6], 5, first=-60)
    found = place.lease()
    assert sorted(place.accounts[1:6]) == sorted(row[5] for row in found)
    assert place.lease() == []
