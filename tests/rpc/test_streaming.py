"""Methods that stream get the same layers as all others, on a real port."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest

from server.base import logs
from server.rpc.checks import field, not_negative
from server.rpc.handlers import Handlers, ServerLoop
from server.rpc.key_ring import KeyRing
from server.rpc.lanes import Lane
from server.rpc.layers import compose
from server.rpc.registry import Rpc
from tests.conftest import ENCRYPTION_KEY
from tests.kit.counter import DEFECT, KNOWN, SERVICE, Counter, Request, Response
from tests.kit.servers import REPOSITORY, environment, eventually
from tests.kit.support import Client, failure, free_port, whole_lines


@pytest.fixture
def counter() -> Counter:
    return Counter()


@pytest.fixture
def channel(counter: Counter, client: Client) -> Iterator[grpc.Channel]:
    lanes = {"stream": Lane("stream", 1, 1)}
    handlers, keys = Handlers(lanes), KeyRing()
    server = grpc.server(ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((handlers,))
    port = server.add_insecure_port("127.0.0.1:0")
    for method in SERVICE.methods:
        rpc = Rpc(method, Counter, checks=(field("number", not_negative),))
        handlers.add(compose(keys, rpc, counter))  # type: ignore[arg-type]
    loop = ServerLoop(server, handlers, lanes)
    keys.start()
    loop.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as opened:
        yield opened
    loop.stop(5)
    keys.stop()


Count = Callable[..., Any]


@pytest.fixture
def count(channel: grpc.Channel) -> Count:
    """Begins a call: count(client, 3) gives what comes, message by message."""

    def begin(client: Client, number: int | bytes, method: str = "Count") -> Any:
        rpc = channel.unary_stream(f"/test.v1.Counter/{method}", response_deserializer=Response.FromString)
        request = number if isinstance(number, bytes) else Request(number=number).SerializeToString()
        return rpc(request, metadata=client.metadata, timeout=20)

    return begin


def read(call: Any) -> tuple[list[int], Any]:
    """What came, and how it failed; None if it did not."""
    seen: list[int] = []
    try:
        seen.extend(answer.number for answer in call)
    except grpc.RpcError as error:
        return seen, failure(error)
    return seen, None


def calls_in(log_file: Path) -> list[dict[str, Any]]:
    """The lines of calls of Count."""
    logs.calls.flush()
    logged = (json.loads(line) for line in whole_lines(log_file) if line.startswith("{"))
    return [line for line in logged if line["message"] == "call" and line["method"] == "Counter/Count"]


def call_ids(log_file: Path) -> set[str]:
    """Of those that have ended."""
    return {line["request_id"] for line in calls_in(log_file)}


def test_answers_come_one_by_one_for_whoever_calls(count: Count, counter: Counter, client: Client) -> None:
    call = count(client.as_owner("alice"), 3)
    assert read(call) == ([0, 1, 2], None)
    assert [(caller.project_id, caller.owner) for caller in counter.callers] == [(client.project_id, "alice")]
    assert dict(call.trailing_metadata())["x-request-id"]


@pytest.mark.parametrize(
    ("as_whom", "number", "method", "what"),
    [
        ("nobody", 3, "Count", ("UNAUTHENTICATED", "API_KEY_MISSING")),
        ("stranger", 3, "Count", ("UNAUTHENTICATED", "API_KEY_INVALID")),
        ("reader", 3, "Add", ("PERMISSION_DENIED", "API_KEY_READ_ONLY")),
        ("reader", 3, "Count", None),
        ("writer", 3, "Add", None),
        ("empty owner", 3, "Count", ("INVALID_ARGUMENT", "FIELD_INVALID")),
        ("writer", -1, "Count", ("INVALID_ARGUMENT", "FIELD_INVALID")),
        ("writer", b"\xff", "Count", ("INVALID_ARGUMENT", "FIELD_INVALID")),
    ],
)
def test_the_layers_hold_before_the_first_answer(
    count: Count,
    counter: Counter,
    client: Client,
    read_only: Client,
    as_whom: str,
    number: int | bytes,
    method: str,
    what: tuple[str, str] | None,
) -> None:
    callers = {
        "nobody": client.with_key(None),
        "stranger": client.with_key("hp_" + "x" * 43),
        "reader": read_only,
        "writer": client,
        "empty owner": client.as_owner(""),
    }
    seen, failed = read(count(callers[as_whom], number, method))
    assert (seen, failed and failed.what) == (([0, 1, 2], None) if what is None else ([], what))
    assert len(counter.callers) == (what is None)


@pytest.mark.parametrize(
    ("number", "what"),
    [(KNOWN, ("ALREADY_EXISTS", "OWNED_BY_ANOTHER")), (DEFECT, ("INTERNAL", "INTERNAL"))],
)
def test_what_fails_in_the_middle_fails_with_a_reason(
    count: Count, client: Client, log_file: Path, number: int, what: tuple[str, str]
) -> None:
    seen, failed = read(count(client, number))
    assert (seen, failed.what) == (list(range(number)), what)

    [line] = [line for line in calls_in(log_file) if line["request_id"] == failed.request_id]
    assert line["code"] == what[0]


def test_who_goes_away_ends_the_method(
    count: Count, counter: Counter, client: Client, log_file: Path
) -> None:
    call = count(client, 1_000_000_000)
    assert next(call).number == 0
    before = call_ids(log_file)
    call.cancel()
    assert counter.ended.wait(20)

    def ended() -> list[str]:
        return [line["code"] for line in calls_in(log_file) if line["request_id"] not in before]

    assert eventually("the call is in the log", ended) == ["CANCELLED"]


def test_a_defect_around_a_call_ends_it(
    count: Count, client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> bool:
        raise RuntimeError("a defect")

    monkeypatch.setattr(Lane, "put", broken)
    call = count(client, 3)
    with pytest.raises(grpc.RpcError, match="INTERNAL"):
        next(call)
    assert "unexpected error around a call" in caplog.text


def test_streams_that_find_no_thread_are_refused(count: Count, counter: Counter, client: Client) -> None:
    counter.may_go_on.clear()
    first = count(client, 1)
    eventually("the first has the only thread", lambda: len(counter.callers) == 1)
    with ThreadPoolExecutor(3) as pool:
        more = [pool.submit(read, count(client, 1)) for _ in range(3)]
        # Which of them waits is not told: they may overtake each other on their way.
        eventually("two are refused", lambda: sum(one.done() for one in more) == 2)
        counter.may_go_on.set()
        ended = [one.result() for one in more]
    refused = [failed.what for _, failed in ended if failed]
    assert refused == [("RESOURCE_EXHAUSTED", "OVERLOADED")] * 2
    assert read(first) == ([0], None)
    assert ([0], None) in ended


def test_with_grpcs_loop_nothing_of_ours_knows_grpcios_inside() -> None:
    program = (
        "import sys\n"
        "from server import app\n"
        "from server.config import Settings\n"
        "from server.run.grpc import GrpcProcess\n"
        "loop = GrpcProcess(app.build(Settings()))._loop\n"
        "inside = {'server.rpc.call_loop', 'server.rpc.exchange'} & sys.modules.keys()\n"
        "print(type(loop).__name__, len(inside))\n"
    )
    for loop, said in (("grpc", "ServerLoop 0"), ("own", "CallLoop 2")):
        settings = {
            "call_loop": loop,
            "database_url": "postgresql://nobody@127.0.0.1:1/none",
            "encryption_keys": ENCRYPTION_KEY,
            "grpc_address": f"127.0.0.1:{free_port()}",
        }
        ran = subprocess.run(
            [sys.executable, "-c", program],
            cwd=REPOSITORY,
            env=environment(**settings),
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert ran.stdout.strip() == said
