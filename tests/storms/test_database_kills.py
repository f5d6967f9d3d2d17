"""PostgreSQL restarted and killed under load: every acknowledged write is stored, once."""

import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from tests.kit.servers import eventually, rows, serving
from tests.storms.calls import clients_of_each_worker
from tests.storms.writers import Writers

WORKERS = 2
ROUNDS = 2
CALM_SECONDS = 2.0


def restart(postgres: Any) -> None:
    """As an operator restarts it: running transactions are ended."""
    postgres.stop()
    postgres.start()


def stop_immediately(postgres: Any) -> None:
    """Like a crash, by its own hand."""
    _end(postgres, signal.SIGQUIT)


def kill_postmaster(postgres: Any) -> None:
    """The server's first process dies; the others notice and end."""
    _end(postgres, signal.SIGKILL)


def kill_backend(postgres: Any) -> None:
    """A process that serves a connection dies, and the server ends all others and recovers."""
    select = (
        "SELECT pid FROM pg_stat_activity WHERE application_name = 'hitchpost' AND pid <> pg_backend_pid()"
    )
    pids = [pid for [pid] in rows(postgres.get_uri(), select)]
    psutil.Process(random.choice(pids)).kill()
    eventually("PostgreSQL has recovered", lambda: _answers(postgres))


def _end(postgres: Any, number: signal.Signals) -> None:
    postmaster = psutil.Process(postgres.get_pid())
    children = postmaster.children()
    postmaster.send_signal(number)
    _, left = psutil.wait_procs([postmaster, *children], timeout=30)
    assert not left, f"PostgreSQL did not end: {left}"
    postgres.start()


def _answers(postgres: Any) -> bool:
    try:
        return bool(rows(postgres.get_uri(), "SELECT 1"))
    except Exception:
        return False


DISASTERS: tuple[Callable[[Any], None], ...] = (restart, stop_immediately, kill_backend, kill_postmaster)


def test_restarts_and_kills_of_postgresql_lose_and_double_nothing(run_dir: Path, own_postgres: Any) -> None:
    with (
        serving(run_dir, own_postgres.get_uri(), workers=str(WORKERS)) as server,
        clients_of_each_worker(server, WORKERS) as [client, *_],
    ):
        writers, happened = Writers(server, client, client.connect().id), 0
        with writers.writing():
            for disaster in DISASTERS * ROUNDS:
                acknowledged = len(writers.acknowledged)
                time.sleep(CALM_SECONDS)
                disaster(own_postgres)
                happened += 1
                eventually(
                    f"writes succeed again after {disaster.__name__}",
                    lambda before=acknowledged: len(writers.acknowledged) > before + 20,
                )
        stored = writers.stored()
        accidents = Counter(
            # The exception's message may have further lines, indented.
            [text for text in line["exc_info"].splitlines() if text[:1].strip()][-1]
            for line in server.logged(message="unexpected error")
        )
    figures = f"{happened} restarts and kills of PostgreSQL under load: {stored}"
    if accidents:
        figures += f"; in the log: {dict(accidents)}"
    print(f"\n{figures}")
    assert stored.is_right, figures
    assert stored.acknowledged > 1000, figures
    assert set(stored.codes) <= {"OK", "UNAVAILABLE"}, figures
