"""Calls that clients reset at once, a hundred thousand of them: the server goes on, and keeps nothing."""

import time
from collections.abc import Callable
from pathlib import Path

from tests.kit.servers import serving
from tests.storms import floods, memory
from tests.storms.calls import clients_of_each_worker, elsewhere, ordinary_calls

WORKERS = 2
PROCESSES = 2
RESETS = 100_000
PEAK_MB = 400
AFTERWARDS = 1.3


def test_resets_stop_nothing_and_leave_nothing(run_dir: Path, new_database: Callable[[], str]) -> None:
    with (
        serving(run_dir, new_database(), workers=str(WORKERS)) as server,
        clients_of_each_worker(server, WORKERS) as clients,
    ):
        account_id = clients[0].connect().id
        with ordinary_calls(clients, account_id) as without:
            time.sleep(5)
        processes = memory.workers(server)
        before, began = memory.resident(processes), time.monotonic()
        with memory.watched(processes) as peak, ordinary_calls(clients, account_id) as meanwhile:
            made = elsewhere(
                floods.resets,
                server.address,
                str(clients[0].key),
                RESETS // PROCESSES,
                processes=PROCESSES,
            )
        seconds = time.monotonic() - began
        with ordinary_calls(clients, account_id):
            time.sleep(5)
        after = memory.resident(processes)
        figures = (
            f"{made['reset']:,} resets in {seconds:.0f} s: {memory.said(before)} before, "
            f"{memory.said(peak.of)} at most, {memory.said(after)} after; good clients meanwhile "
            f"{meanwhile}, without {without}"
        )
        print(f"\n{figures}")
        assert memory.workers(server) == processes, f"a worker ended; {figures}"
    assert made["reset"] >= RESETS, figures
    assert set(meanwhile.codes) == {"OK"}, figures
    assert max(peak.of.values()) <= PEAK_MB, figures
    assert all(after[pid] <= AFTERWARDS * size for pid, size in before.items()), figures
