"""Methods that stream, as server-sent events."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest

from server.rpc.checks import field, not_negative
from server.rpc.key_ring import KeyRing
from server.rpc.lanes import Lane
from server.rpc.layers import compose
from server.rpc.registry import Rpc
from server.web import event_stream
from server.web.bodies import Bodies
from server.web.http_rules import Rule
from server.web.rest import Rest
from tests.kit.counter import DEFECT, KNOWN, SERVICE, Counter
from tests.kit.support import Client
from tests.kit.web import serving

Count = Callable[[int], Any]


@pytest.fixture
def counter() -> Counter:
    return Counter()


@pytest.fixture
def count(counter: Counter, client: Client) -> Iterator[Count]:
    """Opens a stream that counts to a number."""
    rpc = Rpc(SERVICE.methods_by_name["Count"], Counter, checks=(field("number", not_negative),))
    keys, lane = KeyRing(), Lane("stream", 1, 1)
    rules = [Rule(rpc, "GET", "/v1/count/{number}", "", "")]
    methods = {rpc.path: compose(keys, rpc, counter)}
    rest = Rest(rules, methods, {"stream": lane}, Bodies(65_536))  # type: ignore[arg-type]
    keys.start()
    lane.start()
    with serving(rest) as url, httpx2.Client(base_url=url, trust_env=False, timeout=20) as http:

        def begin(number: int) -> Any:
            headers = {"Authorization": f"Bearer {client.key}"}
            return http.stream("GET", f"/v1/count/{number}", headers=headers)

        yield begin
    lane.stop()
    keys.stop()


def events(response: httpx2.Response) -> list[tuple[str, Any]]:
    """Kind and data of each event."""
    found = []
    for block in response.read().decode().split("\n\n")[:-1]:
        lines = dict(line.split(": ", 1) for line in block.split("\n"))
        found.append((lines.get("event", "message"), json.loads(lines["data"])))
    return found


def test_answers_come_as_events(count: Count, client: Client, counter: Counter) -> None:
    with count(3) as response:
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert events(response) == [*(("message", {"number": number}) for number in range(3)), ("end", {})]
    assert [caller.project_id for caller in counter.callers] == [client.project_id]


def test_a_stream_that_is_quiet_is_open_all_the_same(
    count: Count, counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_stream, "QUIET_SECONDS", 0.1)
    counter.may_go_on.clear()
    with count(1) as response:
        lines = response.iter_lines()
        assert next(lines) == ": "
        counter.may_go_on.set()
        assert 'data: {"number":0}' in lines


@pytest.mark.parametrize(("number", "code"), [(KNOWN, "ALREADY_EXISTS"), (DEFECT, "INTERNAL")])
def test_what_fails_in_the_middle_is_the_last_event(count: Count, number: int, code: str) -> None:
    with count(number) as response:
        *answers, (kind, problem) = events(response)
    assert (response.status_code, len(answers)) == (200, number)
    assert (kind, problem["code"]) == ("error", code)


def test_what_fails_at_once_is_an_error(count: Count) -> None:
    with count(-1) as response:
        assert response.status_code == 400
        assert json.loads(response.read())["fields"][0]["field"] == "number"


def test_when_the_client_goes_the_method_ends(count: Count, counter: Counter) -> None:
    with count(2**31 - 1) as response:
        next(response.iter_lines())
    assert counter.ended.wait(20)
