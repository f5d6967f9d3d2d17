"""Workers that are killed or drain under load: every acknowledged write is stored, once."""

import random
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.clients.test_retries import RETRYING
from tests.kit.servers import Server, eventually, serving
from tests.storms import memory
from tests.storms.calls import clients_of_each_worker
from tests.storms.writers import Writers

WORKERS = 2
KILLS = 58
KILLING_SECONDS = 45
EVERY_SECONDS = 0.5
DRAINS = 4


def test_killed_workers_lose_and_double_nothing(run_dir: Path, new_database: Callable[[], str]) -> None:
    seed = random.randrange(1_000_000)
    choose = random.Random(seed)
    killed: set[int] = set()
    with (
        serving(run_dir, new_database(), workers=str(WORKERS)) as server,
        clients_of_each_worker(server, WORKERS) as [client, *_],
    ):
        writers = Writers(server, client, client.connect().id)
        deadline = time.monotonic() + KILLING_SECONDS
        with writers.writing():
            while len(killed) < KILLS and time.monotonic() < deadline:
                before = len(writers.acknowledged)
                time.sleep(EVERY_SECONDS)
                # Busy machines start a worker slowly: without this there might never be one that serves.
                eventually("writes go on", lambda before=before: len(writers.acknowledged) > before + 5)
                _kill_one(server, choose, killed)
            # A server that is told to stop would rightly say that one of its processes had been killed.
            eventually("all workers run", lambda: len(_alive(server, killed)) == WORKERS)
        stored = writers.stored()
    figures = f"{len(killed)} kills of workers (seed {seed}): {stored}"
    print(f"\n{figures}")
    assert len(killed) >= 10, figures
    assert stored.is_right, figures
    assert stored.acknowledged > 1000, figures


def _kill_one(server: Server, choose: random.Random, killed: set[int]) -> None:
    running = _alive(server, killed)
    if running:
        worker = choose.choice(running)
        with suppress(psutil.NoSuchProcess):
            worker.kill()
            killed.add(worker.pid)


def _alive(server: Server, killed: set[int]) -> list[psutil.Process]:
    return [worker for worker in memory.workers(server) if worker.pid not in killed]


@pytest.mark.parametrize(
    ("options", "seen"),
    [((), {"OK", "UNAVAILABLE", "CANCELLED"}), (RETRYING, {"OK"})],
    ids=["without retries", "with the retries of docs/clients.md"],
)
def test_a_worker_that_drains_under_load_loses_and_doubles_nothing(
    options: Sequence[tuple[str, int | str]],
    seen: set[str],
    run_dir: Path,
    new_database: Callable[[], str],
) -> None:
    with (
        serving(run_dir, new_database(), workers=str(WORKERS)) as server,
        clients_of_each_worker(server, WORKERS) as [client, *_],
    ):
        writers = Writers(server, client, client.connect().id, options)
        with writers.writing():
            for number in range(DRAINS):
                before = memory.workers(server)
                time.sleep(1)
                before[number % WORKERS].terminate()
                eventually(
                    "another worker has started",
                    lambda before=before: len(set(memory.workers(server)) - set(before)) == 1,
                )
                time.sleep(1)
        stored = writers.stored()
        ended = server.logged(message="a process ended; starting another", kind="grpc")
    figures = f"{len(ended)} of {DRAINS} drains of one of {WORKERS} workers under load: {stored}"
    print(f"\n{figures}")
    assert stored.is_right, figures
    assert stored.acknowledged > 1000, figures
    assert set(stored.codes) <= seen, figures
