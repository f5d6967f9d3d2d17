"""Updates that wait for one locked row leave reads and updates of other rows alone, and end with the lock."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from tests.kit.servers import Server, serving
from tests.kit.support import Client
from tests.storms.calls import Calls, begin, clients_of_each_worker, codes, get

SECONDS = 3.0
P99_MS = 500


@contextmanager
def locked(database_url: str, account_id: str) -> Iterator[None]:
    """The account's row is locked by another transaction inside the block."""
    with closing(psycopg2.connect(database_url)) as connection:
        connection.cursor().execute("SELECT id FROM social_account WHERE id = %s FOR UPDATE", (account_id,))
        yield
        connection.rollback()


def update(client: Client, account_id: str) -> Any:
    """An update of the account's metadata."""
    account = {"id": account_id, "metadata": {"at": str(time.monotonic_ns())}}
    return client("SocialAccountService/UpdateSocialAccount", social_account=account, timeout=15)


@pytest.fixture(scope="module")
def one_worker(run_dir: Path, new_database: Callable[[], str]) -> Iterator[tuple[Server, list[Client]]]:
    """A server whose calls all go to one worker, and two clients with connections of their own."""
    with (
        serving(run_dir, new_database()) as server,
        clients_of_each_worker(server, 1, each=2) as clients,
    ):
        yield server, clients


@pytest.mark.parametrize("waiting", [16, 64])
def test_a_locked_row_holds_up_nobody_else(waiting: int, one_worker: tuple[Server, list[Client]]) -> None:
    server, [client, other] = one_worker
    hot, free = client.connect().id, client.connect().id
    reads, writes = Calls(), Calls()
    with locked(server.settings["database_url"], hot):
        account = {"id": hot, "metadata": {"hot": "yes"}}
        method = "SocialAccountService/UpdateSocialAccount"
        begun = [begin(client, method, social_account=account) for _ in range(waiting)]
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            reads.time(lambda: get(other, free))
            writes.time(lambda: update(other, free))
        early = sum(call.done() for call in begun)
    released = time.monotonic()
    ended = codes(begun)
    seconds = time.monotonic() - released
    figures = (
        f"{waiting} updates of a row that is locked for {SECONDS:.0f} s: gets of others {reads}; updates "
        f"of others {writes}; {early} of the waiting ones ended before, all {seconds:.1f} s after the "
        f"lock went: {dict(ended)}"
    )
    print(f"\n{figures}")
    assert set(reads.codes) == set(writes.codes) == {"OK"}, figures
    assert reads.percentile(99) <= P99_MS, figures
    assert writes.percentile(99) <= P99_MS, figures
    assert set(ended) <= {"OK", "RESOURCE_EXHAUSTED", "ABORTED"}, figures
    assert ended["OK"] > 0, figures
    assert seconds < 10, figures
