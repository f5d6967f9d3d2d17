"""The web process and clients that are slow or hostile: nothing that they hold is without a limit."""

import os
import signal
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, nullcontext, suppress
from datetime import timedelta
from pathlib import Path

import httpx2
import psycopg2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from server.base.errors import Overloaded
from server.run import web_server
from server.storage import liveness
from server.storage.database import Database
from server.storage.liveness import Liveness
from server.web import app as web_app
from server.web import faults, listener, threads
from tests.conftest import Running
from tests.kit.raw_http import UNFINISHED_BODY, UNFINISHED_HEADERS, connect, drip, is_reset, opened, rest
from tests.kit.servers import eventually, rows
from tests.kit.support import free_port
from tests.kit.web import get, serving


def test_unfinished_bodies_hold_no_thread(running: Running) -> None:
    with ExitStack() as stack:
        opened(stack, running.settings.web_address, 45, UNFINISHED_BODY)
        assert get(running.settings.web_address, "/healthz").json() == {"status": "SERVING"}
        assert get(running.settings.web_address, "/sandbox").status_code == 200
        assert get(running.settings.web_address, "/callback/sandbox").status_code == 400


def test_a_client_that_disconnects_leaves_no_traceback(running: Running, log_file: Path) -> None:
    before = log_file.stat().st_size
    with ExitStack() as stack:
        opened(stack, running.settings.web_address, 3, UNFINISHED_BODY)

    def said() -> str:
        with log_file.open() as log:
            log.seek(before)
            return log.read()

    eventually("the three requests are in the log", lambda: said().count('"path": "/sandbox/token"') >= 3)
    get(running.settings.web_address, "/healthz")
    assert "Traceback" not in said()
    assert "exc_info" not in said()


@pytest.mark.parametrize(
    ("beginning", "piece"),
    [(b"", b"G"), (UNFINISHED_HEADERS, b"x: y\r\n"), (UNFINISHED_BODY, b"x")],
    ids=["first line", "headers", "body"],
)
def test_a_request_that_drips_is_ended(
    running: Running, monkeypatch: pytest.MonkeyPatch, beginning: bytes, piece: bytes
) -> None:
    monkeypatch.setattr(listener, "REQUEST_SECONDS", 1.0)
    with connect(running.settings.web_address) as connection:
        connection.sendall(beginning)
        assert drip(connection, piece, every=0.1, seconds=30).startswith(b"HTTP/1.1 408 ")


def test_a_request_that_was_sent_ahead_is_ended(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """It came with the one before, and its rest never does."""
    monkeypatch.setattr(listener, "REQUEST_SECONDS", 1.0)
    with connect(running.settings.web_address) as connection:
        connection.sendall(b"GET /sandbox HTTP/1.1\r\nHost: localhost\r\n\r\n" + UNFINISHED_BODY)
        answers = rest(connection)
    assert answers.startswith(b"HTTP/1.1 200 ")
    assert b"HTTP/1.1 408 " in answers


def test_a_connection_that_says_nothing_is_ended(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "REQUEST_SECONDS", 1.0)
    with connect(running.settings.web_address) as connection:
        assert rest(connection).startswith(b"HTTP/1.1 408 ")


def test_a_client_that_takes_no_answer_is_ended(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """It asks on and on, and reads nothing: at last the server can't send any more."""
    monkeypatch.setattr(listener, "ANSWER_SECONDS", 1.0)
    with connect(running.settings.web_address, receive_buffer=4096) as connection:
        connection.sendall(b"GET /sandbox HTTP/1.1\r\nHost: localhost\r\n\r\n" * 1400)
        eventually("the connection is reset", lambda: is_reset(connection), seconds=60)


def test_a_client_that_asks_far_ahead_is_ended(running: Running) -> None:
    with connect(running.settings.web_address) as connection:
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(b"GET /sandbox HTTP/1.1\r\nHost: localhost\r\n\r\n" * 20_000)
        eventually("the connection is reset", lambda: is_reset(connection))


def test_a_request_within_its_time_is_answered_whole(running: Running) -> None:
    """Several on one connection, the second in pieces: no clock of the first goes on."""
    with connect(running.settings.web_address) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET /heal")
        first = connection.recv(65_536)
        connection.sendall(b"thz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert (first + rest(connection)).count(b"HTTP/1.1 200 ") == 2


def test_too_many_connections_cost_the_oldest_that_waits(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "MAX_CONNECTIONS", 10)
    with ExitStack() as stack:
        held = opened(stack, running.settings.web_address, 30, UNFINISHED_HEADERS)
        assert get(running.settings.web_address, "/healthz").status_code == 200
        for connection in held[:20]:
            assert rest(connection) == b""
        held[-1].sendall(b"Connection: close\r\n\r\n")
        assert rest(held[-1]).startswith(b"HTTP/1.1 200 ")


def test_more_requests_than_may_wait_for_a_thread_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "MAX_WAITING", 2)
    release, pool = threading.Event(), threads.Threads(1)

    def slow(_request: Request) -> Response:
        release.wait(30)
        return Response("done")

    routes = [Route("/slow", pool.run(slow))]
    with serving(Starlette(routes=routes, exception_handlers={Overloaded: faults.known})) as url:

        def ask(_number: int) -> int:
            return httpx2.get(f"{url}/slow", trust_env=False, verify=False, timeout=40).status_code

        with ThreadPoolExecutor(6) as callers:
            asked = [callers.submit(ask, number) for number in range(6)]
            eventually("three are refused", lambda: sum(one.done() for one in asked) == 3)
            release.set()
            assert sorted(one.result() for one in asked) == [200] * 3 + [503] * 3


@pytest.fixture
def own_database(new_database: Callable[[], str]) -> tuple[Database, str]:
    """A database that nobody else is connected to."""
    url, own = new_database(), Database()
    own.configure(url, timedelta(seconds=5))
    return own, url


def backends(url: str) -> list[int]:
    """The process ids of whoever is connected to this database as Hitchpost."""
    ours = "datname = current_database() AND application_name = 'hitchpost'"
    return [pid for (pid,) in rows(url, f"SELECT pid FROM pg_stat_activity WHERE {ours}")]


def test_health_costs_one_connection_however_many_ask(
    own_database: tuple[Database, str], running: Running
) -> None:
    own, url = own_database
    health = Liveness(own)
    health.start()
    pages = web_app.create(
        running.app.attempts,
        health.serving,
        {},
        [],
        public_url="http://localhost",
        threads=4,
        running=nullcontext,
    )
    with serving(pages) as web, ThreadPoolExecutor(40) as pool:

        def ask(_number: int) -> int:
            return httpx2.get(f"{web}/healthz", trust_env=False, verify=False, timeout=30).status_code

        assert set(pool.map(ask, range(120))) == {200}
        assert len(backends(url)) == 1
    health.stop()
    eventually("the check's connection is closed", lambda: not backends(url))


def test_a_database_that_hangs_is_not_healthy(
    own_database: tuple[Database, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(liveness, "ANSWER_SECONDS", 2.0)
    own, url = own_database
    health = Liveness(own)
    health.start()
    assert health.serving()
    [backend] = backends(url)
    os.kill(backend, signal.SIGSTOP)
    try:
        eventually("no answer in time counts as none", lambda: not health.serving())
    finally:
        os.kill(backend, signal.SIGCONT)
    eventually("the database answers again", health.serving)
    with closing(psycopg2.connect(url)) as other:
        other.autocommit = True
        other.cursor().execute("SELECT pg_terminate_backend(%s)", [backend])
    health.stop()


def test_no_part_of_an_answer_waits_for_the_one_before() -> None:
    address = f"127.0.0.1:{free_port()}"
    with (
        web_server._listening(address, shared=False) as listening,
        connect(address),
        listening.accept()[0] as one,
    ):
        assert one.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
