"""`make bench-publish`: how late posts are, from the time they are due until the platform has accepted them.

10,000 posts are due within a minute, spread over it, at a platform that takes 50 ms for each; the same with
a million posts that are scheduled for later, in turn; and single posts now and then, while nothing else is
to be done. PostgreSQL, the workers and the platform share the machine.
"""

import argparse
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from datetime import timedelta
from typing import NamedTuple

import psutil
import psycopg2
from cryptography.fernet import Fernet

from benchmarks import scratch
from server.base.vault import Vault
from server.storage import schema
from server.storage.database import Database
from tests.storms.publish_platform import PublishPlatform, publish_platform
from tests.storms.publish_worker import Crew, settings
from tests.storms.publishing import left, plant_accounts, plant_posts

POSTS, SECONDS, PLATFORM_SECONDS = 10_000, 60.0, 0.05
LATER, ACCOUNTS, LATER_ACCOUNTS = 1_000_000, 500, 10_000
WORKERS, THREADS, ROUNDS = 4, 8, 3
SINGLES, SINGLE_SECONDS = 30, (1.0, 3.0)
# What has to be reached.
DEARER, IDLE_SECONDS = 1.2, 1.0
# So long before the first post is due, and at most after the last until all are through.
HEAD_START, MOST_SECONDS = 5.0, 600.0


class Run(NamedTuple):
    """How late each post was, in seconds; how long all took; and the CPU seconds of who had to do with it."""

    late: list[float]
    seconds: float
    workers: float
    postgres: float
    platform: float


class Place:
    """A database with accounts and, it may be, many posts for later; and workers for it."""

    def __init__(self, url: str, key: str, platform: PublishPlatform, server_pid: int, later: int) -> None:
        self.url = url
        self._key = key
        self._platform = platform
        self._server_pid = server_pid
        own = Database()
        own.configure(url, timedelta(seconds=5))
        schema.migrate(own)
        accounts = plant_accounts(url, Vault(key), LATER_ACCOUNTS)
        # Among those that have much scheduled, one in twenty has something to be sent now.
        self._due_accounts = accounts[:: LATER_ACCOUNTS // ACCOUNTS]
        for begin in range(1, later + 1, 50_000):
            month = 30 * 24 * 3600
            plant_posts(url, accounts, 50_000, begin=begin, first=month + begin, step=1, prefix="later_")
        self._number = 0

    def run(self, posts: int, seconds: float, threads: int) -> Run:
        """So many posts within so many seconds."""
        with Crew(WORKERS, settings(self.url, self._platform.url, self._key, threads)) as crew:
            # Until they have begun: a process of its own each, with connections of its threads.
            time.sleep(HEAD_START)
            self._platform.forget()
            began, ids = time.monotonic(), self._plant(posts, seconds)
            before = self._cpu(crew)
            self._until_all_are_through(posts)
            spent = [now - then for then, now in zip(before, self._cpu(crew), strict=True)]
            return Run(self._late(ids), time.monotonic() - began - HEAD_START, *spent)

    def singles(self, number: int, threads: int) -> list[float]:
        """How late single posts are, each when the one before is long through."""
        chance, late = random.Random(1), []
        with Crew(WORKERS, settings(self.url, self._platform.url, self._key, threads)):
            time.sleep(HEAD_START)
            for _ in range(number):
                self._platform.forget()
                wait = chance.uniform(*SINGLE_SECONDS)
                ids = self._plant(1, 0.0, first=wait)
                self._until_all_are_through(1)
                late += self._late(ids)
        return late

    def _plant(self, posts: int, seconds: float, first: float = HEAD_START) -> tuple[int, int]:
        begin = self._number + 1
        self._number += posts
        step = seconds / posts
        plant_posts(self.url, self._due_accounts, posts, begin=begin, first=first, step=step)
        self._fetch("ANALYZE social_post, social_post_target")
        return begin, self._number

    def _until_all_are_through(self, posts: int) -> None:
        began = time.monotonic()
        while self._platform.number() < posts:
            if time.monotonic() > began + MOST_SECONDS:
                raise SystemExit(f"{left(self.url)} posts are left")
            time.sleep(0.5)
        time.sleep(0.5)

    def _late(self, ids: tuple[int, int]) -> list[float]:
        due = dict(
            self._fetch(
                "SELECT id, extract(epoch FROM scheduled_time)::float8 FROM social_post "
                "WHERE id BETWEEN %s AND %s",
                *(f"sp_{number:09}" for number in ids),
            )
        )
        accepted = self._platform.accepted()
        if len(accepted) != len(due):
            raise SystemExit(f"{len(due)} posts were due and {len(accepted)} accepted")
        return [one.time - due[one.text] for one in accepted]

    def _cpu(self, crew: Crew) -> tuple[float, float, float]:
        """CPU seconds until now: of the workers, of PostgreSQL with its connections, of the platform."""
        postgres = psutil.Process(self._server_pid)
        return (
            sum(_spent(psutil.Process(pid)) for pid in crew.processes()),
            sum(_spent(one) for one in (postgres, *postgres.children())),
            _spent(psutil.Process(self._platform.pid)),
        )

    def _fetch(self, statement: str, *arguments: object) -> list[tuple[object, ...]]:
        with closing(psycopg2.connect(self.url)) as connection:
            connection.autocommit = True
            cursor = connection.cursor()
            cursor.execute(statement, arguments)
            return cursor.fetchall() if cursor.description else []


def _spent(process: psutil.Process) -> float:
    # A connection of PostgreSQL's may have ended since it was found.
    with suppress(psutil.NoSuchProcess):
        times = process.cpu_times()
        return float(times.user + times.system)
    return 0.0


def percentile(values: Sequence[float], percent: float) -> float:
    """By the nearest rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def _both(late: Sequence[float]) -> tuple[float, float]:
    return percentile(late, 50), percentile(late, 99)


def report(few: Sequence[Run], many: Sequence[Run], singles: Sequence[float]) -> Iterator[tuple[str, bool]]:
    """The lines of the table, and whether each figure is reached."""
    yield "| | p50 | p99 | posts a second | CPU a post: workers, PostgreSQL, platform |", True
    yield "| --- | --- | --- | --- | --- |", True
    for name, runs in (("nothing else scheduled", few), (f"{LATER:,} posts for later", many)):
        p50, p99 = _both([late for run in runs for late in run.late])
        posts = sum(len(run.late) for run in runs)
        cpu = (sum(getattr(run, who) for run in runs) for who in ("workers", "postgres", "platform"))
        each = ", ".join(f"{1000 * seconds / posts:.1f}" for seconds in cpu)
        rate = posts / sum(run.seconds for run in runs)
        yield f"| {name} | {1000 * p50:.0f} ms | {1000 * p99:.0f} ms | {rate:.0f} | {each} ms |", True
    ratios = [
        percentile([late for run in many for late in run.late], percent)
        / percentile([late for run in few for late in run.late], percent)
        for percent in (50, 99)
    ]
    yield (
        f"one / the other: p50 {ratios[0]:.2f}, p99 {ratios[1]:.2f} (at most {DEARER})",
        max(ratios) <= DEARER,
    )
    p50, p99 = _both(singles)
    yield (
        f"single posts: p50 {p50:.2f} s (below {IDLE_SECONDS:g}), p99 {p99:.2f} s",
        p50 < IDLE_SECONDS,
    )


def measured(
    uri_for: Callable[[str], str], pid: int, arguments: argparse.Namespace
) -> list[tuple[str, bool]]:
    """The runs, in turn, and their report."""
    key = Fernet.generate_key().decode()
    with publish_platform() as platform:
        platform.behaves(seconds=PLATFORM_SECONDS)
        few = Place(uri_for("few"), key, platform, pid, 0)
        many = Place(uri_for("many"), key, platform, pid, arguments.later)
        runs: dict[Place, list[Run]] = {few: [], many: []}
        for _ in range(arguments.rounds):
            for place, found in runs.items():
                found.append(place.run(arguments.posts, arguments.seconds, arguments.threads))
                p50, p99 = _both(found[-1].late)
                print(f"{'few' if place is few else 'many'}: p50 {p50:.3f} s, p99 {p99:.3f} s", flush=True)
        singles = few.singles(arguments.singles, arguments.threads)
        return list(report(runs[few], runs[many], singles))


def main() -> int:
    """The exit code: 1 when a figure is not reached."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.publishing", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of each, in turn (default: %(default)s)")
    parser.add_argument("--posts", type=int, default=POSTS, help="of a round (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of a round (default: %(default)s)")
    parser.add_argument("--later", type=int, default=LATER, help="scheduled posts (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=THREADS, help="of a worker (default: %(default)s)")
    parser.add_argument("--singles", type=int, default=SINGLES, help="posts (default: %(default)s)")
    arguments = parser.parse_args()
    with scratch.postgres() as postgres:
        with closing(psycopg2.connect(postgres.get_uri())) as connection:
            connection.autocommit = True
            for name in ("few", "many"):
                connection.cursor().execute(f"CREATE DATABASE {name}")
        return scratch.verdict(
            measured(lambda name: postgres.get_uri(database=name), int(postgres.get_pid()), arguments)
        )


if __name__ == "__main__":
    sys.exit(main())
