"""REST on the wire: what is no request, too long, too large, late, or unfinished, byte by byte."""

import json
import re
import select
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import httpx2
import pytest

from server.web import listener
from tests.conftest import Running
from tests.kit.raw_http import answer as one_answer
from tests.kit.raw_http import connect, opened, rest
from tests.kit.servers import eventually
from tests.kit.servers import serving as running_server
from tests.kit.support import Client
from tests.web.rest.asking import new_account


def announced(running: Running, *lines: str) -> bytes:
    """What is answered to a request without its body, which has these headers."""
    head = ("POST /v1/social-accounts HTTP/1.1", "Host: localhost", "Content-Type: application/json", *lines)
    with connect(running.settings.web_address) as connection:
        connection.sendall("\r\n".join((*head, "", "")).encode())
        return one_answer(connection)


def test_a_body_that_says_that_it_is_too_large_is_not_waited_for(running: Running, client: Client) -> None:
    length = running.settings.max_message_bytes + 1
    key = f"Authorization: Bearer {client.key}"
    assert announced(running, key, f"Content-Length: {length}").startswith(b"HTTP/1.1 413 ")


def test_a_request_with_two_lengths_is_refused_and_the_connection_ends(running: Running) -> None:
    """What one reader takes for the body would be a request to the other."""
    both = b"Host: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    hidden = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with connect(running.settings.web_address) as connection:
        connection.sendall(b"POST /v1/social-posts HTTP/1.1\r\n" + both + hidden)
        answers = rest(connection)
    assert answers.startswith(b"HTTP/1.1 400 ")
    assert answers.count(b"HTTP/1.1 ") == 1


def test_a_large_body_that_nobody_wants_is_no_part_of_the_next_request(
    running: Running, client: Client
) -> None:
    """It is refused before it has come, and the connection goes on."""
    large = running.settings.max_message_bytes // 2
    lines = "POST /v1/social-accounts HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json"
    with connect(running.settings.web_address) as connection:
        connection.sendall(f"{lines}\r\nContent-Length: {large}\r\n\r\n".encode() + b" " * large)
        answers = one_answer(connection)
        key = f"Authorization: Bearer {client.key}\r\nConnection: close"
        connection.sendall(f"GET /v1/social-posts HTTP/1.1\r\nHost: localhost\r\n{key}\r\n\r\n".encode())
        answers += rest(connection)
    assert re.findall(rb"HTTP/1\.1 (\d+)", answers) == [b"401", b"200"]


def test_whoever_asks_before_sending_a_body_is_told_at_once(running: Running, client: Client) -> None:
    """The connection ends with the answer: a body that need not come could not be told from a request."""
    expects = ("Expect: 100-continue", "Content-Length: 2")
    refused = announced(running, *expects)
    assert refused.startswith(b"HTTP/1.1 401 ")
    assert b"\r\nconnection: close\r\n" in refused
    asked = announced(running, *expects, f"Authorization: Bearer {client.key}")
    assert asked.startswith(b"HTTP/1.1 100 ")


@pytest.mark.parametrize("path", ["/v1/nothing", "/v1/social-accounts"])
@pytest.mark.parametrize("at_once", [True, False])
def test_a_body_that_turns_out_to_be_no_http(
    running: Running, log_file: Path, path: str, at_once: bool
) -> None:
    """Before the answer or after it: there is one answer, and nothing unexpected in the log."""
    before = log_file.stat().st_size
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    with connect(running.settings.web_address) as connection:
        connection.sendall(head + b"zz\r\n" * at_once)
        answer = b"" if at_once else one_answer(connection)
        connection.sendall(b"" if at_once else b"zz\r\n")
        answer += rest(connection)
    assert answer.count(b"HTTP/1.1 4") == 1
    assert '"ERROR"' not in log_file.read_bytes()[before:].decode()


def test_the_time_of_a_request_that_was_answered_early_is_not_the_next_ones(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "REQUEST_SECONDS", 5.0)
    early = b"POST /v1/nothing HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n"
    with connect(running.settings.web_address) as connection:
        connection.sendall(early)
        assert one_answer(connection).startswith(b"HTTP/1.1 404 ")
        time.sleep(3.5)
        connection.sendall(b"{}GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n")
        time.sleep(2.0)
        connection.sendall(b"\r\n")
        assert rest(connection).startswith(b"HTTP/1.1 200 ")


def test_a_client_that_goes_before_the_end_of_its_body_is_no_accident(
    running: Running, client: Client, log_file: Path
) -> None:
    before = log_file.stat().st_size
    unfinished = (
        b"POST /v1/social-accounts HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        + f"Authorization: Bearer {client.key}\r\nContent-Length: 9\r\n\r\n".encode()
    )
    with connect(running.settings.web_address) as connection:
        connection.sendall(unfinished)
        time.sleep(0.2)

    def lines() -> list[str]:
        said = log_file.read_bytes()[before:].decode().split("\n")[:-1]
        return [line for line in said if '"message": "request"' in line]

    [line] = eventually("the request is in the log", lines)
    assert '"status": null' in line


def test_large_bodies_are_bounded_together(running: Running, client: Client) -> None:
    """Whoever sends them and never ends: small ones go on, and large ones as soon as there is room."""
    large = running.settings.max_message_bytes - 1000
    unfinished = (
        b"POST /v1/social-accounts HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        + f"Authorization: Bearer {client.key}\r\nContent-Length: {large + 1}\r\n\r\n".encode()
    )
    with ExitStack() as stack:
        held = opened(stack, running.settings.web_address, 20, unfinished + b" " * large)
        refused = eventually("some are refused", lambda: select.select(held, [], [], 0)[0])
        answer = one_answer(refused[0])
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"ERROR_REASON_OVERLOADED" in answer
        with httpx2.Client(base_url=f"http://{running.settings.web_address}", trust_env=False) as http:
            headers = {"Authorization": f"Bearer {client.key}"}
            assert http.post("/v1/social-accounts", json=new_account(), headers=headers).status_code == 200


def test_a_line_and_headers_that_are_longer_than_they_may_be(running: Running) -> None:
    with connect(running.settings.web_address) as connection:
        connection.sendall(b"GET /v1/social-posts?" + b"external_id=a&" * 20_000)
        head, _, body = one_answer(connection).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 431 ")
    assert b"\r\nconnection: close" in head
    assert b"\r\ncontent-type: application/problem+json" in head
    assert json.loads(body)["title"] == "Request Header Fields Too Large"


def test_several_web_processes_share_a_port(run_dir: Path, new_database: Callable[[], str]) -> None:
    with running_server(run_dir, new_database(), web_workers="3") as server:
        served: set[int] = set()

        def ask_once() -> bool:
            httpx2.get(f"{server.web_url}/v1/social-posts", trust_env=False)
            served.update(line["process"] for line in server.logged(message="request"))
            return len(served) == 3

        eventually("each of them has served", ask_once)
