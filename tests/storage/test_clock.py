"""Time is the database's, whatever this machine's clock says."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from server.base import errors
from server.base.identity import utc_now
from server.storage.clock import DatabaseClock
from server.storage.database import Database
from tests.conftest import Running
from tests.kit.support import free_port


@pytest.fixture
def own(running: Running) -> Iterator[Database]:
    """A Database beside the process's own."""
    own = Database()
    own.configure(running.database_url, timedelta(seconds=5))
    yield own
    own.close()


def test_the_database_is_asked_at_first_and_then_once_a_minute(
    own: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    fetch = Database.fetch

    def counted(self: Database, sql: str, arguments: Any = ()) -> Any:
        # Others of this process ask theirs, such as health.
        if self is own:
            asked.append(sql)
        return fetch(self, sql, arguments)

    monkeypatch.setattr(Database, "fetch", counted)
    clock = DatabaseClock(own)
    assert asked == []
    times = [clock() for _ in range(1000)]
    assert asked == ["SELECT clock_timestamp()"] * 2
    assert times == sorted(times)
    # For this module alone: others of this process go on.
    later = SimpleNamespace(monotonic=lambda: time.monotonic() + 61)
    monkeypatch.setattr("server.storage.clock.time", later)
    clock()
    assert len(asked) == 4


def test_it_is_the_databases_time_with_its_zone(own: Database) -> None:
    clock = DatabaseClock(own)
    for _ in range(20):
        before, now, after = own.fetch("SELECT clock_timestamp()")[0][0], clock(), utc_now()
        assert now.tzinfo is UTC
        assert before - timedelta(seconds=5) < now < after + timedelta(seconds=5)


def test_while_the_database_is_away_the_last_it_said_holds(own: Database, running: Running) -> None:
    clock = DatabaseClock(own)
    known = clock()
    own.close()
    own.configure(f"postgresql://127.0.0.1:{free_port()}/nothing", timedelta(seconds=5))
    assert clock() > known
    clock._due = 0.0
    with pytest.raises(errors.DatabaseUnavailable):
        clock()
    assert timedelta(0) < clock() - known < timedelta(seconds=60)
    with pytest.raises(errors.DatabaseUnavailable):
        DatabaseClock(own)()
    own.configure(running.database_url, timedelta(seconds=5))
    clock._due = 0.0
    assert abs(clock() - datetime.now(UTC)) < timedelta(seconds=5)
