"""The connections of a process on a bad day: a server that is demoted, frozen, or without its standby."""

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from server.base.errors import DatabaseUnavailable, StatementTimeout
from server.storage.database import Database
from server.storage.liveness import Liveness
from server.storage.models import SocialAccount
from server.storage.statements import Statement
from tests.kit.postgres import Node
from tests.kit.servers import REPOSITORY, eventually
from tests.kit.support import unique

STATEMENT_SECONDS = 1.0
# What a call may take when the server says nothing: the statement, and connecting anew.
PATIENCE = 20.0
INSERT = "INSERT INTO word VALUES ('w')"


@pytest.fixture(scope="module")
def shared_node(run_dir: Path) -> Iterator[Node]:
    """A server of this module's own."""
    node = Node(run_dir / unique("node"))
    node.initialize()
    try:
        node.start()
        node.execute("CREATE TABLE word (word text)")
        yield node
    finally:
        node.stop()


@pytest.fixture
def node(shared_node: Node) -> Iterator[Node]:
    """The same, with its settings as they were at the end of the test."""
    yield shared_node
    shared_node.reset()


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    """Threads, each of which has its own connection."""
    executor = ThreadPoolExecutor(4)
    yield executor
    # A thread that hangs has failed its test already.
    executor.shutdown(wait=False)


def connected(url: str, seconds: float = STATEMENT_SECONDS) -> Database:
    """A database with this statement timeout."""
    database = Database()
    database.configure(url, timedelta(seconds=seconds))
    return database


def write(database: Database) -> None:
    """One statement, which commits by itself."""
    database.fetch(INSERT)


def write_in_transaction(database: Database) -> None:
    """Two statements and a COMMIT."""
    with database.transaction():
        database.fetch("SELECT 1")
        database.fetch(INSERT)


def test_a_server_that_is_demoted_is_away_and_well_again_once_it_can_be_written_to(node: Node) -> None:
    database = connected(node.url)
    database.fetch(INSERT)
    node.demote()
    with pytest.raises(DatabaseUnavailable):
        database.fetch(INSERT)
    # Nor does it serve what may be old.
    with pytest.raises(DatabaseUnavailable):
        database.fetch("SELECT 1")
    with pytest.raises(DatabaseUnavailable):
        database.require_primary()
    node.set("default_transaction_read_only", "off")
    database.fetch(INSERT)
    database.require_primary()
    database.close()


def test_the_check_finds_a_demotion_that_no_write_has_met(node: Node) -> None:
    database = connected(node.url)
    database.require_primary()
    node.demote()
    with pytest.raises(DatabaseUnavailable):
        database.require_primary()
    with pytest.raises(DatabaseUnavailable):
        database.fetch("SELECT 1")


@pytest.mark.parametrize(("address", "call"), [("url", write), ("socket_url", write_in_transaction)])
def test_a_frozen_server_holds_no_thread(
    address: str, call: Callable[[Database], None], node: Node, threads: ThreadPoolExecutor
) -> None:
    database = connected(getattr(node, address))
    [future.result(PATIENCE) for future in [threads.submit(call, database) for _ in range(3)]]
    node.freeze()
    try:
        for _ in range(2):
            frozen = [threads.submit(call, database) for _ in range(3)]
            assert [type(future.exception(PATIENCE)) for future in frozen] == [DatabaseUnavailable] * 3
    finally:
        node.thaw()
    eventually(
        "it serves again", lambda: threads.submit(database.require_primary).exception(PATIENCE) is None
    )
    [future.result(PATIENCE) for future in [threads.submit(call, database) for _ in range(3)]]


def test_a_check_that_hangs_counts_as_no_and_holds_one_thread(node: Node) -> None:
    # So patient that nothing but the check's own limit can end it.
    liveness = Liveness(connected(node.url, seconds=60))
    # Those of other servers of this process.
    others = [thread.name for thread in threading.enumerate()].count("liveness")
    liveness.start()
    try:
        assert liveness.serving()
        node.freeze()
        eventually("its answer is late", lambda: not liveness.serving())
        assert [thread.name for thread in threading.enumerate()].count("liveness") == others + 1
        node.thaw()
        eventually("it serves again", liveness.serving)
    finally:
        liveness.stop()


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="needs Linux")
def test_the_kernel_looks_after_connections_that_idle(node: Node) -> None:
    database = connected(node.url)
    line = database._session()._socket
    assert line.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    options = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT)
    assert [line.getsockopt(socket.IPPROTO_TCP, option) for option in options] == [10, 5, 3, 3000]
    database.close()


def test_a_statement_that_postgresql_ends_in_time_is_not_cut(node: Node) -> None:
    database = connected(node.url)
    [[before]] = database.fetch("SELECT pg_backend_pid()")
    with pytest.raises(StatementTimeout):
        database.fetch("SELECT pg_sleep(30)")
    assert database.fetch("SELECT pg_backend_pid()") == [(before,)]
    database.close()


@pytest.mark.parametrize("call", [write, write_in_transaction])
def test_a_write_that_the_standby_has_not_confirmed_is_not_acknowledged(
    call: Callable[[Database], None], node: Node, threads: ThreadPoolExecutor
) -> None:
    database = connected(node.url)
    node.set("synchronous_standby_names", "gone")
    writes: list[Future[None]] = [threads.submit(call, database) for _ in range(3)]
    waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
    eventually("they wait for the standby", lambda: len(node.execute(waiting)) == 3)
    assert threads.submit(database.fetch, "SELECT 1").result(PATIENCE) == [(1,)], "reads go on"
    assert [type(write.exception(PATIENCE)) for write in writes] == [DatabaseUnavailable] * 3
    # Else the server would soon have no connections left.
    assert node.execute(waiting) == []
    node.set("synchronous_standby_names", "")
    threads.submit(call, database).result(PATIENCE)


def test_a_warning_in_any_language_leaves_a_write_unacknowledged(node: Node) -> None:
    database = connected(node.url)
    database.fetch("DO $$ BEGIN RAISE NOTICE 'nothing'; END $$")
    with pytest.raises(DatabaseUnavailable):
        database.fetch("DO $$ BEGIN RAISE WARNING 'das Warten wurde abgebrochen'; END $$")
    assert database.fetch("SELECT 1") == [(1,)]
    database.close()


def test_a_prepared_statement_is_named_after_its_content() -> None:
    queries = "SocialAccount.select(SocialAccount.id), SocialAccount.select(SocialAccount.state)"
    program = (
        "import json\n"
        "from server.storage.statements import Statement\n"
        "from server.storage.models import SocialAccount\n"
        f"queries = reversed([{queries}])\n"
        "print(json.dumps([Statement('accounts.any', query, tuple).name for query in queries]))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    here = [
        Statement("accounts.any", query, tuple).name
        for query in (SocialAccount.select(SocialAccount.id), SocialAccount.select(SocialAccount.state))
    ]
    assert json.loads(ran.stdout) == here[::-1]
    assert len(set(here)) == 2
    assert all(name.startswith("accounts.any_") for name in here)
