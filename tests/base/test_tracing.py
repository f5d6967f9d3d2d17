"""Traces: when there are some, what is in their spans and what never is, and what a collector can't do."""

import json
import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from server.base import logs, trace_export, tracing
from server.base.identity import new_id, utc_now
from server.platforms.http import Http
from tests.conftest import Running
from tests.kit.collector import Collector, Seen, collecting
from tests.kit.due import work_off
from tests.kit.outgoing import get
from tests.kit.sandbox import SandboxApp
from tests.kit.support import WIRE, Client, free_port, unique
from tests.kit.web import serving

Sql = Callable[..., list[tuple[Any, ...]]]
GET = "hitchpost.v1.SocialPostService/GetSocialPost"
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
MISSING = new_id("sp", utc_now())
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


@pytest.fixture
def trace(monkeypatch: pytest.MonkeyPatch, collector: Collector) -> Iterator[Callable[..., None]]:
    """Begins to trace the in-process server, with these variables, too."""

    def begin(**variables: str) -> None:
        for name, value in {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, **variables}.items():
            monkeypatch.setenv(name, value)
        tracing.start(os.environ)

    yield begin
    tracing.stop()


@contextmanager
def asking(asked: list[dict[str, str]]) -> Iterator[str]:
    """A platform that notes the headers of what it is asked."""

    async def answer(request: Request) -> Response:
        asked.append(dict(request.headers))
        return Response("here")

    with serving(Starlette(routes=[Route("/{path:path}", answer)])) as url:
        yield url


def one(spans: list[Seen]) -> Seen:
    assert len(spans) == 1, spans
    return spans[0]


@pytest.mark.parametrize(
    ("variables", "wanted"),
    [
        ({}, False),
        ({"OTEL_SERVICE_NAME": "posts"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://collector.example.com/v1/traces"}, True),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318"}, False),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_SDK_DISABLED": "True"}, False),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, True),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_PROPAGATORS": "tracecontext,baggage"}, True),
    ],
)
def test_there_are_traces_if_the_variables_ask_for_them(variables: dict[str, str], wanted: bool) -> None:
    assert tracing.wanted(variables) is wanted


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("OTEL_TRACES_EXPORTER", "zipkin", "otlp or none"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "http/protobuf, which collectors take at port 4318"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318", "a URL, such as http://localhost:4318"),
        ("OTEL_PROPAGATORS", "b3", "tracecontext, or none"),
    ],
)
def test_what_cannot_be_done_is_refused_with_what_can(name: str, value: str, said: str) -> None:
    with pytest.raises(tracing.TracesRefused) as refused:
        tracing.wanted({"OTEL_TRACES_EXPORTER": "otlp", name: value})
    assert str(refused.value) == f"{name} can't be {value!r}; it must be {said}"


def test_a_call_has_a_span_within_its_callers_with_its_statements_inside(
    running: Running, client: Client, trace: Callable[..., None], collector: Collector
) -> None:
    post = client.draft(client.connect().id)
    trace(OTEL_SERVICE_NAME="posts")
    extra = [("traceparent", TRACEPARENT), ("tracestate", "vendor=1")]
    client.with_call("SocialPostService/GetSocialPost", social_post_id=post.id, extra=extra)
    tracing.stop()
    call = one(collector.named(GET))
    assert (call.kind, call.trace_id, call.parent_id, call.failed) == ("server", TRACE, PARENT, False)
    assert call.attributes == {
        "rpc.system": "grpc",
        "rpc.service": "hitchpost.v1.SocialPostService",
        "rpc.method": "GetSocialPost",
        "rpc.grpc.status_code": 0,
        "hitchpost.project_id": client.project_id,
    }
    assert call.resource["service.name"] == "posts"
    statement = one(collector.within(call))
    assert (statement.name, statement.kind, statement.trace_id) == ("posts.get", "client", TRACE)
    assert statement.attributes == {"db.system.name": "postgresql", "db.query.summary": "posts.get"}


# gRPC itself hands on only the last of two.
@pytest.mark.parametrize(("times", "within"), [(1, True), (2, False)])
def test_a_call_by_rest_is_within_its_callers_trace_too_if_there_is_one(
    running: Running,
    client: Client,
    trace: Callable[..., None],
    collector: Collector,
    times: int,
    within: bool,
) -> None:
    post = client.draft(client.connect().id)
    trace()
    headers = [("Authorization", f"Bearer {client.key}"), *[("traceparent", TRACEPARENT)] * times]
    url = f"http://{running.settings.web_address}/v1/social-posts/{post.id}"
    assert httpx2.get(url, headers=headers, trust_env=False).status_code == 200
    tracing.stop()
    call = one(collector.named(GET))
    assert ((call.trace_id, call.parent_id) == (TRACE, PARENT)) is within
    assert [span.name for span in collector.within(call)] == ["posts.get"]


def test_a_call_that_fails_says_why_and_is_an_error_only_if_that_is_ours(
    client: Client, trace: Callable[..., None], collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace()
    client.fails("SocialPostService/GetSocialPost", social_post_id=MISSING)
    monkeypatch.setattr("server.posts.posts.read", lambda *_: 1 / 0)
    client.fails("SocialPostService/GetSocialPost", social_post_id=MISSING)
    client.with_key(None).fails("SocialPostService/GetSocialPost", social_post_id=MISSING)
    tracing.stop()
    found = {span.attributes["hitchpost.reason"]: span for span in collector.named(GET)}
    assert {
        reason: (span.attributes["rpc.grpc.status_code"], span.failed) for reason, span in found.items()
    } == {
        "ERROR_REASON_SOCIAL_POST_NOT_FOUND": (5, False),
        "ERROR_REASON_INTERNAL": (13, True),
        "ERROR_REASON_API_KEY_MISSING": (16, False),
    }
    assert found["ERROR_REASON_INTERNAL"].attributes["error.type"] == "ERROR_REASON_INTERNAL"


@pytest.mark.parametrize(
    "headers",
    [
        [("traceparent", "")],
        [("traceparent", "x" * 5000)],
        [("traceparent", f"ff-{TRACE}-{PARENT}-01")],
        [("traceparent", f"00-{'0' * 32}-{PARENT}-01")],
        [("traceparent", f"00-{TRACE}-{PARENT}-01-more")],
        [("tracestate", "vendor=1")],
    ],
)
def test_a_malformed_context_is_ignored(
    client: Client, trace: Callable[..., None], collector: Collector, headers: list[tuple[str, str]]
) -> None:
    trace()
    client.with_call("SocialPostService/ListSocialPosts", extra=headers)
    tracing.stop()
    call = one(collector.named("hitchpost.v1.SocialPostService/ListSocialPosts"))
    assert call.parent_id == ""
    assert call.trace_id != TRACE


def test_a_malformed_tracestate_leaves_the_traceparent_as_it_is(
    client: Client, trace: Callable[..., None], collector: Collector
) -> None:
    trace()
    extra = [("traceparent", TRACEPARENT), ("tracestate", "=;,,=,%%%")]
    client.with_call("SocialPostService/ListSocialPosts", extra=extra)
    tracing.stop()
    assert one(collector.named("hitchpost.v1.SocialPostService/ListSocialPosts")).trace_id == TRACE


def test_without_a_propagator_nothing_is_taken_from_callers(
    client: Client, trace: Callable[..., None], collector: Collector
) -> None:
    trace(OTEL_PROPAGATORS="none")
    client.with_call("SocialPostService/ListSocialPosts", extra=[("traceparent", TRACEPARENT)])
    tracing.stop()
    assert one(collector.named("hitchpost.v1.SocialPostService/ListSocialPosts")).parent_id == ""


def test_what_is_not_sampled_is_neither_sent_nor_kept_with_due_work(
    running: Running, client: Client, sql: Sql, trace: Callable[..., None], collector: Collector
) -> None:
    trace(OTEL_TRACES_SAMPLER="always_off")
    account = client.connect()
    client("SocialAccountService/DisconnectSocialAccount", social_account_id=account.id)
    tracing.stop()
    assert collector.requests == 0
    assert sql("SELECT trace_context FROM token_revocation WHERE project_id = %s", client.project_id) == [
        (None,)
    ]
    work_off(running.app)


def test_due_work_links_to_the_call_that_made_it_and_asks_the_platform_inside(
    running: Running, client: Client, trace: Callable[..., None], collector: Collector
) -> None:
    work_off(running.app)
    mia = SandboxApp(f"http://{running.settings.web_address}").signed_in(unique("mia"))
    account = client.connect(access_token=mia.token)
    post = client.draft(account.id)
    trace()
    client("SocialPostService/PublishSocialPost", social_post_id=post.id)
    work_off(running.app)
    client("SocialAccountService/DisconnectSocialAccount", social_account_id=account.id)
    work_off(running.app)
    tracing.stop()
    for kind, method in (
        ("posts", "SocialPostService/PublishSocialPost"),
        ("revocations", "SocialAccountService/DisconnectSocialAccount"),
    ):
        call = one(collector.named(f"hitchpost.v1.{method}"))
        due = one([span for span in collector.named(f"due {kind}") if span.links])
        assert due.links == [(call.trace_id, call.span_id)]
        assert (due.kind, due.parent_id, due.attributes["hitchpost.due.attempt"]) == ("consumer", "", 1)
        assert due.trace_id != call.trace_id
        requests = [span for span in collector.within(due) if "http.request.method" in span.attributes]
        assert requests, collector.within(due)
        assert {span.attributes["server.address"] for span in requests} == {"127.0.0.1"}
        assert all("http.response.status_code" in span.attributes for span in requests)
        statements = [span for span in collector.within(due) if "db.query.summary" in span.attributes]
        assert statements


@pytest.mark.parametrize(("propagators", "sent"), [("tracecontext", True), ("none", False)])
def test_a_platform_is_told_of_the_trace_by_traceparent_alone(
    trace: Callable[..., None], collector: Collector, propagators: str, sent: bool
) -> None:
    trace(OTEL_PROPAGATORS=propagators)
    asked: list[dict[str, str]] = []
    with asking(asked) as url, tracing.due_work("posts", 1, None) as span:
        get(Http(allow_private=True), f"{url}/path?query=1")
    tracing.stop()
    request = one(collector.named("GET"))
    trace_id = tracing.log_fields(span)["trace_id"]
    assert request.trace_id == trace_id
    ids, _, sampled = asked[0].get("traceparent", "").rpartition("-")
    assert ids == (f"00-{trace_id}-{request.span_id}" if sent else "")
    # Bit 1 says that it is sampled; others are the SDK's.
    assert int(sampled or "0", 16) & 1 == sent
    assert "tracestate" not in asked[0]
    assert not [
        value for value in request.attributes.values() if "path" in str(value) or "query" in str(value)
    ]


@pytest.mark.skipif(WIRE != "grpc", reason="REST has no request that lacks a field")
def test_nothing_that_somebody_has_sent_is_in_any_span(
    running: Running, client: Client, trace: Callable[..., None], collector: Collector
) -> None:
    trace()
    hidden = [unique("hidden") for _ in range(9)]
    owner, tag, caption, profile, name, request_id, media, option, search = hidden
    account = client.connect(profile, owner, display_name=name)
    mine = client.as_owner(owner)
    post = mine.draft(
        account.id,
        external_id=tag,
        caption=caption,
        media=[{"url": f"http://127.0.0.1:9/{media}?token={option}"}],
    )
    mine.with_call(
        "SocialPostService/GetSocialPost", social_post_id=post.id, extra=[("x-request-id", request_id)]
    )
    mine("SocialPostService/PublishSocialPost", social_post_id=post.id)
    client.as_owner(search).fails("SocialPostService/GetSocialPost", social_post_id=post.id)
    client.fails("SocialAccountService/GetSocialAccount", social_account_id=search)
    client("SocialPostService/ListSocialPosts", external_ids=[tag])
    mine("SocialAccountService/DisconnectSocialAccount", social_account_id=account.id)
    work_off(running.app)
    tracing.stop()
    assert {"due posts", "due revocations", GET} <= {span.name for span in collector.spans}
    said = b"".join(collector.raw)
    # Were it there it would be found.
    assert client.project_id.encode() in said
    assert [value for value in hidden if value.encode() in said] == []
    assert client.key is not None
    assert client.key.encode() not in said
    assert b"secret-" not in said


def test_lines_of_the_log_have_their_trace(
    client: Client,
    trace: Callable[..., None],
    collector: Collector,
    log_file: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trace()
    monkeypatch.setattr("server.posts.posts.read", lambda *_: 1 / 0)
    request_id = unique("request")
    with pytest.raises(grpc.RpcError, match="INTERNAL"):
        client.with_call(
            "SocialPostService/GetSocialPost", social_post_id=MISSING, extra=[("x-request-id", request_id)]
        )
    tracing.stop()
    call = one(collector.named(GET))
    assert logs.calls.flush()
    lines = [json.loads(line) for line in log_file.read_text().split("\n")[:-1] if request_id in line]
    assert {line["message"] for line in lines} == {"unexpected error", "call"}
    assert {(line["trace_id"], line["span_id"]) for line in lines} == {(call.trace_id, call.span_id)}


@pytest.mark.parametrize("status", [503, 400, None])
def test_a_collector_that_is_away_costs_one_warning_and_no_call(
    client: Client,
    trace: Callable[..., None],
    collector: Collector,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    status: int | None,
) -> None:
    gone = f"http://127.0.0.1:{free_port()}"
    collector.status = status or 200
    where = collector.url if status else gone
    # The SDK tries again until this is over.
    trace(OTEL_EXPORTER_OTLP_ENDPOINT=where, OTEL_BSP_SCHEDULE_DELAY="10", OTEL_EXPORTER_OTLP_TIMEOUT="0.2")
    monkeypatch.setattr(tracing, "FLUSH_SECONDS", 30.0)
    for _ in range(3):
        client("SocialPostService/ListSocialPosts")
        assert tracing._exporting._provider.force_flush()
    tracing.stop()
    warnings = [record for record in caplog.records if "collector" in record.getMessage()]
    assert [record.levelno for record in warnings] == [logging.WARNING]
    assert collector.spans == []


def test_a_collector_that_does_not_answer_does_not_hold_up_a_stop(
    client: Client, trace: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    may_answer = threading.Event()

    def export(*_: Any) -> Any:
        may_answer.wait()
        return trace_export.SpanExportResult.SUCCESS

    monkeypatch.setattr(trace_export.OTLPSpanExporter, "export", export)
    monkeypatch.setattr(tracing, "FLUSH_SECONDS", 0.1)
    trace()
    client("SocialPostService/ListSocialPosts")
    tracing.stop()
    try:
        # What ends the traces has not come to its end, and nobody waits for it.
        assert [thread.name for thread in threading.enumerate() if thread.name == "traces"]
    finally:
        may_answer.set()
