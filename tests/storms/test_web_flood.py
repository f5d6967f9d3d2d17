"""Clients that open connections to the web process and never finish, while others ask for its health."""

import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from server.config import SANDBOX_THREADS
from server.run.watching import LOOK_SECONDS
from tests.kit.metrics import scraped
from tests.kit.raw_http import UNFINISHED_BODY, UNFINISHED_HEADERS, opened, rest
from tests.kit.servers import Server, eventually, serving

THREADS = 2
# The sandbox's threads, the check's, and the one that looks keys up; see docs/architecture.md.
WEB_CONNECTIONS = SANDBOX_THREADS + 2
# A request that is not whole ends after 10 s; a busy machine may take longer to get there.
END_SECONDS = 40.0
# The web process keeps at most 500 connections open at once, and has a few that it has just been handed.
FLOOD = 700
MOST_OPEN = 500 + 20


@pytest.fixture
def server(run_dir: Path, new_database: Callable[[], str]) -> Iterator[Server]:
    with serving(run_dir, new_database(), threads=str(THREADS)) as server:
        yield server


def status(server: Server, path: str) -> int:
    """The HTTP status of a page; 0 when the server hung up or did not answer in time."""
    try:
        with urllib.request.urlopen(f"{server.web_url}{path}", timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except OSError:
        return 0


def database_connections(server: Server) -> int:
    """How many the web process has open; it keeps those that it has once opened."""
    return int(scraped(server.settings["web_address"]).value("database_connections", role="web"))


def open_sockets(web: psutil.Process) -> int:
    """Those of clients, and the one that listens."""
    return len(web.net_connections("tcp"))


def web_process(server: Server) -> psutil.Process:
    [process] = [child for child in server.children() if child.cmdline()[-1] == "web"]
    return process


def test_floods_of_the_web_process_take_no_connection_to_the_database(server: Server) -> None:
    web = web_process(server)
    with ExitStack() as stack, ThreadPoolExecutor(200) as pool:
        opened(stack, server.settings["web_address"], 45, UNFINISHED_BODY)
        for _ in range(3):
            asked = [pool.submit(status, server, "/healthz") for _ in range(200)]
            asked += [pool.submit(status, server, "/sandbox/profiles") for _ in range(50)]
            assert [one.result() for one in asked] == [200] * 200 + [401] * 50
    # They are counted now and then.
    time.sleep(2 * LOOK_SECONDS)
    assert 0 < database_connections(server) <= WEB_CONNECTIONS
    assert web_process(server) == web
    assert "Traceback" not in server.log.read_text()


@pytest.mark.parametrize("request_part", [UNFINISHED_HEADERS, UNFINISHED_BODY], ids=["headers", "body"])
def test_a_flood_of_unfinished_requests_ends_and_lets_others_through(
    server: Server, request_part: bytes
) -> None:
    web = web_process(server)
    before = open_sockets(web)
    with ExitStack() as stack:
        started = time.monotonic()
        held = opened(stack, server.settings["web_address"], FLOOD, request_part)
        assert status(server, "/healthz") == 200
        assert open_sockets(web) <= before + MOST_OPEN
        for connection in held:
            rest(connection)
        assert time.monotonic() - started < END_SECONDS
    eventually("all of them are closed", lambda: open_sockets(web) <= before)
    assert status(server, "/healthz") == 200
    assert "Traceback" not in server.log.read_text()
