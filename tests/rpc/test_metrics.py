"""What callers send makes no series: whatever it is, the labels are words of ours."""

from collections.abc import Callable, Mapping

import grpc
import httpx2
import pytest

from generated.hitchpost.v1 import error_reason_pb2
from server.storage.statements import EVERY
from tests.conftest import Running
from tests.kit.metrics import Growth
from tests.kit.support import MESSAGES, Client, code_of, unique

GET, LIST = "SocialAccountService/GetSocialAccount", "SocialAccountService/ListSocialAccounts"
CODES = {code.name for code in grpc.StatusCode}
REASONS = {"", *error_reason_pb2.ErrorReason.keys()}
CAUSED = ("calls_total", "calls_shed_total", "call_duration_seconds", "statement_")
ALLOWED = {
    "method": {*MESSAGES, "unknown", "mcp", "mcp/tools"},
    "wire": {"grpc", "rest", "mcp"},
    "code": CODES,
    "reason": REASONS,
    "lane": {"read", "write", "platform", "stream"},
    "error": REASONS,
}


def throw_by_grpc(running: Running, client: Client, mark: str) -> None:
    """Methods, keys, owners, ids and bytes that there are not."""
    unknown = running.channel.unary_unary(f"/hitchpost.v1.{mark}/{mark}")
    assert code_of(lambda: unknown(b"", metadata=client.metadata, timeout=20)) == "UNIMPLEMENTED"
    key = Client(running.channel, f"hp_{mark}")
    assert code_of(lambda: key(LIST)) == "UNAUTHENTICATED"
    there = Client(running.channel, client.key)
    assert code_of(lambda: there(GET, social_account_id=mark)) == "INVALID_ARGUMENT"
    assert code_of(lambda: there(LIST, external_ids=[mark])) == "OK"
    assert code_of(lambda: there(LIST, page_token=mark)) == "INVALID_ARGUMENT"
    assert code_of(lambda: there(LIST, b"\xff" + mark.encode())) == "INVALID_ARGUMENT"


def throw_by_http(running: Running, client: Client, mark: str) -> None:
    """The same over HTTP, and tools that there are not."""
    url, headers = f"http://{running.settings.web_address}", {"Authorization": f"Bearer {client.key}"}
    with httpx2.Client(base_url=url, headers=headers, trust_env=False, timeout=20) as web:
        web.get(f"/v1/{mark}")
        web.request(f"X{mark.replace('-', '')}", "/v1/social-accounts")
        web.get(f"/v1/social-accounts/{mark}")
        web.get("/v1/social-accounts", params={mark: mark})
        web.get("/v1/social-accounts", headers={"Authorization": mark, "User-Agent": mark})
        web.post("/mcp", content=mark)
        call = {
            "jsonrpc": "2.0",
            "id": mark,
            "method": "tools/call",
            "params": {"name": mark, "arguments": {}},
        }
        web.post("/mcp", json=call, headers={"Accept": "application/json, text/event-stream"})


def of_calls(growth: Growth) -> list[tuple[str, Mapping[str, str]]]:
    """The new series of what callers cause; gauges are set meanwhile, too."""
    return [(name, labels) for name, labels in growth.new_series() if name.startswith(CAUSED)]


@pytest.mark.parametrize("throw", [throw_by_grpc, throw_by_http])
def test_garbage_makes_no_series(
    throw: Callable[[Running, Client, str], None], running: Running, client: Client
) -> None:
    start, marks = Growth(), [unique("garbage") for _ in range(8)]
    throw(running, client, marks[0])
    # Those of lists are made when they are first needed.
    allowed = {**ALLOWED, "statement": {statement.label for statement in EVERY}}
    for name, labels in of_calls(start):
        for label, value in labels.items():
            assert label == "le" or value in allowed[label], (name, label, value)
    once = Growth()
    for mark in marks[1:]:
        throw(running, client, mark)
    # What was thrown first has met all that there is to meet.
    assert of_calls(once) == []
    assert once.of("calls_total") >= 2 * len(marks[1:])


def test_a_call_is_counted_once_with_how_it_ended(running: Running, client: Client) -> None:
    grown, there = Growth(), Client(running.channel, client.key)
    there(LIST)
    there.fails(GET, social_account_id="sa_01ARZ3NDEKTSV4RRFFQ69G5FAV")
    assert grown.of("calls_total", method=LIST, wire="grpc", code="OK", reason="") == 1
    reason = "ERROR_REASON_SOCIAL_ACCOUNT_NOT_FOUND"
    assert grown.of("calls_total", method=GET, wire="grpc", code="NOT_FOUND", reason=reason) == 1
    assert grown.of("calls_total", method=GET) == 1
    assert grown.of("call_duration_seconds_count", method=LIST) == 1
    assert grown.of("statement_duration_seconds_count", statement="accounts.get") == 1
