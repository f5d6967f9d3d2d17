"""100,000 rows due in 50 projects, nine tenths of them in one; four workers, of which one dies every second,
and one is stopped for longer than its lease. All is done, nothing by two at once, and a project with little
to do does not wait for the one with much."""

import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.kit.servers import REPOSITORY, environment, rows
from tests.storms.due_worker import LEASE_SECONDS, TABLES

LARGE, SMALL_PROJECTS, SMALL = 90_000, 49, 204
LATECOMER, LITTLE = "late", 20
ROWS = LARGE + SMALL_PROJECTS * SMALL
WORKERS = 4
MOST_SECONDS = 300

Process = "subprocess.Popen[bytes]"


def plant(url: str, project: str, first: int, number: int, age: str) -> None:
    """`project` is an SQL expression of the row's number."""
    rows(
        url,
        f"INSERT INTO storm (project_id, id, due_time) SELECT {project}, n, "
        f"now() - interval '{age}' - n * interval '1 microsecond' "
        f"FROM generate_series({first}, {first + number - 1}) n",
    )


class Crew:
    """Four workers, and what happens to them."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._chance = random.Random(11)
        self._running = [self._begin() for _ in range(WORKERS)]
        self._stopped: list[tuple[float, Process]] = []
        self.deaths = self.stops = 0

    def _begin(self) -> Process:
        command = [sys.executable, "-m", "tests.storms.due_worker", self._url]
        return subprocess.Popen(command, cwd=REPOSITORY, env=environment(), stdin=subprocess.DEVNULL)

    def kill_one(self) -> None:
        """A random one, but none that is stopped; another takes its place."""
        able = [one for one in self._running if one not in [stopped for _, stopped in self._stopped]]
        victim = self._chance.choice(able)
        victim.kill()
        victim.wait(20)
        self._running[self._running.index(victim)] = self._begin()
        self.deaths += 1

    def stop_one(self) -> None:
        """In the middle of its work, for longer than its lease: when it goes on, its rows may be others'. One
        at a time."""
        for _ in range(0 if self._stopped else 20):
            victim = self._chance.choice(self._running)
            victim.send_signal(signal.SIGSTOP)
            held = "SELECT count(*) FROM storm WHERE worker = %s"
            if rows(self._url, held, f"storm/{victim.pid}") != [(0,)]:
                self._stopped.append((time.monotonic() + LEASE_SECONDS + 0.5, victim))
                self.stops += 1
                return
            victim.send_signal(signal.SIGCONT)

    def go_on(self) -> None:
        """Those whose time has come."""
        for until, stopped in list(self._stopped):
            if time.monotonic() >= until:
                stopped.send_signal(signal.SIGCONT)
                self._stopped.remove((until, stopped))

    def come_back(self) -> None:
        """Whoever is still stopped goes on, and all end by themselves: nothing is left for them."""
        for _, stopped in self._stopped:
            stopped.send_signal(signal.SIGCONT)
        for process in self._running:
            process.wait(20)

    def end(self) -> None:
        """What is left of them."""
        for process in self._running:
            process.kill()
            process.wait(20)


@contextmanager
def crew(url: str) -> Iterator[Crew]:
    """Four workers until the end of the block."""
    four = Crew(url)
    try:
        yield four
    finally:
        four.end()


def left(url: str) -> int:
    return int(rows(url, "SELECT count(*) FROM storm WHERE due_time IS NOT NULL")[0][0])


def until_all_is_done(url: str, four: Crew) -> tuple[float, int]:
    """The seconds that it took, and how many leases of rows there were when a project came late."""
    began, leases = time.monotonic(), 0
    while remaining := left(url):
        assert time.monotonic() < began + MOST_SECONDS, f"{remaining:,} rows are left"
        if not leases and remaining < ROWS / 2:
            leases = int(rows(url, "SELECT max(number) FROM leased")[0][0])
            # It is younger than all that waits.
            plant(url, f"'{LATECOMER}'", ROWS + 1, LITTLE, age="0 seconds")
        four.go_on()
        time.sleep(1)
        # The last rows are those of workers that died: they take as long as a lease, each time.
        if remaining > ROWS / 50:
            four.stop_one()
            four.kill_one()
    four.come_back()
    return time.monotonic() - began, leases


def test_a_hundred_thousand_rows_while_workers_die_and_come_back_late(
    new_database: Callable[[], str],
) -> None:
    url = new_database()
    rows(url, TABLES)
    plant(url, "'large'", 1, LARGE, age="1 hour")
    plant(url, f"'small' || mod(n, {SMALL_PROJECTS})", LARGE + 1, ROWS - LARGE, age="1 minute")
    rows(url, "ANALYZE storm")
    with crew(url) as four:
        seconds, leases = until_all_is_done(url, four)
    [(again,)] = rows(url, "SELECT count(*) FROM leased WHERE attempt > 1")
    [(refused,)] = rows(url, "SELECT coalesce(sum(outcomes), 0) FROM refused")
    print(f"{ROWS + LITTLE:,} rows in {seconds:.0f} s, {four.deaths} kills and {four.stops} stops;")
    print(f"{again:,} leases of rows whose lease had run out, {refused:,} outcomes refused")
    assert four.deaths >= 5
    assert again > 0, "no worker was killed in the middle of its work"
    assert refused > 0, "no worker came back late"
    check_fences(url)
    check_fairness(url, leases)


def check_fences(url: str) -> None:
    """Each row's outcome was taken once, from who held it; no lease began before the last had run out."""
    assert rows(url, "SELECT count(*), count(DISTINCT id) FROM ended") == [(ROWS + LITTLE,) * 2]
    strangers = (
        "SELECT ended.id FROM ended JOIN leased USING (id, attempt) WHERE ended.pid <> leased.pid"
        " UNION ALL SELECT ended.id FROM ended JOIN leased later USING (id)"
        " WHERE later.attempt > ended.attempt"
    )
    assert rows(url, strangers) == []
    overlapping = (
        "SELECT one.id FROM leased one JOIN leased next ON next.id = one.id AND next.attempt > one.attempt "
        f"WHERE next.lease_time < one.lease_time + interval '{LEASE_SECONDS} seconds'"
    )
    assert rows(url, overlapping) == []


def check_fairness(url: str, leases: int) -> None:
    """What small projects have, and one that came late, does not wait for the large one's, all older."""
    first = "SELECT max(number) FROM leased WHERE attempt = 1 AND project_id"
    [(last_small,)] = rows(url, f"{first} LIKE 'small%%'")
    [(last_late,)] = rows(url, f"{first} = '{LATECOMER}'")
    side_by_side = (SMALL_PROJECTS + 1) * SMALL
    print(
        f"all small projects' rows were leased among the first {last_small:,}; {side_by_side:,} side by side;"
    )
    print(f"a project that came late waited for {last_late - leases:,} others until its last row was leased")
    assert last_small < 2 * side_by_side
    assert leases > 0
    assert last_late - leases < 2_000
