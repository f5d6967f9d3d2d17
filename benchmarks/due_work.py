"""`make bench-due`: rows leased, done and recorded a second, beside two job queues for PostgreSQL; and what a
lease costs with a million rows that are due next month.

Each drains no-op work in a process of its own, on the same server, in turn. Ours has four threads and
procrastinate a concurrency of four, and both record each outcome by itself; pgqueuer has one connection and
goes in batches.
"""

import argparse
import asyncio
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from statistics import median
from typing import NamedTuple

from benchmarks import scratch
from benchmarks.load import ROOT
from server.storage.database import database
from server.storage.due_work import Kind

ROUNDS, WORKERS, PROJECTS = 5, 4, 50
# So many rows keep a contender busy for some seconds.
ROWS = {"hitchpost": 20_000, "procrastinate": 1_500, "pgqueuer": 20_000}
FEW, MANY, LEASES = 1_000, 1_000_000, 200
# What has to be reached.
TIMES_PROCRASTINATE, DEARER = 8.0, 1.2


class Row(NamedTuple):
    """A row of the table that is worked on."""

    project_id: str
    id: int


def _kind(table: str) -> Kind[Row]:
    return Kind(table, table, Row, batch=50, share=5, seconds=60)


def _create(table: str) -> None:
    database.fetch(
        f"""
        CREATE TABLE {table} (project_id text COLLATE "C", id bigint, due_time timestamptz,
          lease_time timestamptz, attempt integer NOT NULL DEFAULT 0, worker text,
          PRIMARY KEY (project_id, id));
        CREATE INDEX ON {table} (project_id, due_time) WHERE due_time IS NOT NULL
        """
    )


def _plant(table: str, first: int, number: int, due: str) -> None:
    """Rows of all projects in turn, each with a time of its own, as what people do has."""
    database.fetch(
        f"INSERT INTO {table} (project_id, id, due_time) SELECT 'p' || number %% {PROJECTS}, number, "
        f"{due} - number %% 1000000 * interval '1 microsecond' "
        "FROM generate_series(%s, %s) number",
        [first, first + number - 1],
    )


def hitchpost(url: str, rows: int) -> float:
    """Four threads with a connection each, batches of 50."""
    database.configure(url, timedelta(seconds=60))
    database.fetch("DROP TABLE IF EXISTS due_rows")
    _create("due_rows")
    _plant("due_rows", 1, rows, "now()")
    database.fetch("ANALYZE due_rows")
    kind = _kind("due_rows")

    def work(name: int) -> int:
        done = 0
        while batch := kind.lease(f"worker-{name}"):
            done += sum(kind.delete(leased) for leased in batch)
        return done

    began = time.monotonic()
    with ThreadPoolExecutor(WORKERS) as pool:
        done = sum(pool.map(work, range(WORKERS)))
    assert done == rows, done
    return rows / (time.monotonic() - began)


def procrastinate(url: str, rows: int) -> float:
    """A worker with a concurrency of four; it is told to end when nothing is left."""
    from procrastinate import App, PsycopgConnector

    app = App(connector=PsycopgConnector(conninfo=url))

    @app.task(name="nothing")
    async def nothing() -> None:
        return None

    async def run() -> float:
        async with app.open_async():
            tables = await app.connector.execute_query_all_async("SELECT to_regclass('procrastinate_jobs') t")
            if tables[0]["t"] is None:
                await app.schema_manager.apply_schema_async()
            await app.connector.execute_query_async("TRUNCATE procrastinate_jobs CASCADE")
            await nothing.batch_defer_async(*({} for _ in range(rows)))
            await app.connector.execute_query_async("ANALYZE procrastinate_jobs")
            began = time.monotonic()
            await app.run_worker_async(
                wait=False, concurrency=WORKERS, install_signal_handlers=False, delete_jobs="always"
            )
            seconds = time.monotonic() - began
            left = await app.connector.execute_query_all_async("SELECT count(*) n FROM procrastinate_jobs")
            assert left[0]["n"] == 0, left
            return rows / seconds

    return asyncio.run(run())


def pgqueuer(url: str, rows: int) -> float:
    """Batches of its default size; it is told to end when nothing is left."""
    import asyncpg
    from pgqueuer import PgQueuer
    from pgqueuer.db import AsyncpgDriver
    from pgqueuer.queries import Queries
    from pgqueuer.types import QueueExecutionMode

    async def run() -> float:
        connection = await asyncpg.connect(url)
        driver = AsyncpgDriver(connection)
        queries = Queries(driver)
        if await queries.has_table("pgqueuer"):
            await queries.uninstall()
        await queries.install()
        await queries.enqueue(["nothing"] * rows, [None] * rows, [0] * rows)
        await connection.execute("ANALYZE pgqueuer")
        queue = PgQueuer(driver)

        @queue.entrypoint("nothing")
        async def nothing(_job: object) -> None:
            return None

        began = time.monotonic()
        await queue.run(mode=QueueExecutionMode.drain)
        seconds = time.monotonic() - began
        assert await connection.fetchval("SELECT count(*) FROM pgqueuer") == 0
        await connection.close()
        return rows / seconds

    return asyncio.run(run())


CONTENDERS: dict[str, Callable[[str, int], float]] = {
    "hitchpost": hitchpost,
    "procrastinate": procrastinate,
    "pgqueuer": pgqueuer,
}


def _rates(uri_for: Callable[[str], str], rounds: int) -> dict[str, list[float]]:
    rates: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    for _ in range(rounds):
        for name in CONTENDERS:
            command = [sys.executable, "-m", "benchmarks.due_work", "--contender", name, uri_for(name)]
            ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
            if ran.returncode:
                raise SystemExit(f"{name}: {ran.stderr}")
            rates[name].append(float(ran.stdout.split()[-1]))
    return rates


def _lease_times(rounds: int) -> dict[int, list[float]]:
    """Milliseconds of each lease of 50 rows, by how many others are due next month."""
    kinds = {}
    for future in (FEW, MANY):
        _create(f"future_{future}")
        kinds[future] = _kind(f"future_{future}")
        _plant(f"future_{future}", 1, future, "now() + interval '30 days'")
    times: dict[int, list[float]] = {FEW: [], MANY: []}
    for turn in range(rounds):
        for future in kinds:
            # More than are leased: every lease is to find a whole batch.
            _plant(f"future_{future}", 10 * MANY * (turn + 1), 100 * LEASES, "now()")
            database.fetch(f"VACUUM ANALYZE future_{future}")
        for _ in range(LEASES):
            for future, kind in kinds.items():
                began = time.perf_counter()
                batch = kind.lease("worker")
                times[future].append((time.perf_counter() - began) * 1000)
                assert len(batch) == 50
                for leased in batch:
                    kind.delete(leased)
        for future in kinds:
            database.fetch(f"DELETE FROM future_{future} WHERE due_time <= now()")
    return times


def _report(rates: dict[str, list[float]], leases: dict[int, list[float]]) -> Iterator[tuple[str, bool]]:
    for name, found in rates.items():
        yield f"{name}: {median(found):,.0f} rows a second ({min(found):,.0f} to {max(found):,.0f})", True
    times = median(rates["hitchpost"]) / median(rates["procrastinate"])
    yield (
        f"Hitchpost / procrastinate: {times:.1f} (at least {TIMES_PROCRASTINATE:g})",
        (times >= TIMES_PROCRASTINATE),
    )
    few, many = median(leases[FEW]), median(leases[MANY])
    yield f"a lease of 50 rows: {few:.2f} ms with {FEW:,} rows due next month, {many:.2f} with {MANY:,}", True
    yield f"one / the other: {many / few:.2f} (at most {DEARER:g})", many / few <= DEARER


def main() -> int:
    """The exit code: 1 when a figure is not reached."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.due_work", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of each, in turn (default: %(default)s)")
    parser.add_argument("--contender", nargs=2, metavar=("NAME", "URL"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.contender:
        name, url = arguments.contender
        print(CONTENDERS[name](url, ROWS[name]))
        return 0
    with scratch.postgres() as postgres:
        database.configure(postgres.get_uri(), timedelta(seconds=300))
        for name in (*CONTENDERS, "leases"):
            database.fetch(f"CREATE DATABASE {name}")
        rates = _rates(lambda name: postgres.get_uri(database=name), arguments.rounds)
        database.close()
        database.configure(postgres.get_uri(database="leases"), timedelta(seconds=300))
        times = _lease_times(arguments.rounds)
        database.close()
        return scratch.verdict(_report(rates, times))


if __name__ == "__main__":
    sys.exit(main())
