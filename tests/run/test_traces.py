"""Traces of a whole server: what one trace has, and what a server does about a collector, from outside."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.kit.collector import Collector, Seen, collecting
from tests.kit.sandbox import SandboxApp
from tests.kit.servers import REPOSITORY, eventually, local_channel, refused, rows, serving
from tests.kit.support import Client, unique

SERVICE = "hitchpost.v1.SocialPostService"
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
CONTEXT = [("traceparent", f"00-{TRACE}-{PARENT}-01"), ("tracestate", "vendor=1")]


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """A collector, which servers send spans to from now on."""
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
        yield collector


def one(spans: list[Seen]) -> Seen:
    assert len(spans) == 1, spans
    return spans[0]


@pytest.mark.parametrize(
    ("imports", "variables", "sdk"),
    [
        ("from server.run import grpc, web, worker", {}, False),
        # What it would look like.
        ("pass", {"OTEL_TRACES_EXPORTER": "otlp"}, True),
    ],
)
def test_without_the_variables_the_sdk_is_not_even_imported(
    imports: str, variables: dict[str, str], sdk: bool
) -> None:
    program = f"""if True:
        import os, sys
        {imports}
        from server.base import tracing
        tracing.start(os.environ)
        print("opentelemetry.sdk" in sys.modules, "requests" in sys.modules, tracing.on)
    """
    bare = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    ran = subprocess.run(
        [sys.executable, "-c", program],
        cwd=REPOSITORY,
        env=bare | variables,
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.split() == [str(sdk)] * 3


def test_a_trace_has_the_call_and_its_statements_and_what_is_sent_later_links_to_it(
    collector: Collector, run_dir: Path, new_database: Callable[[], str]
) -> None:
    with serving(run_dir, new_database()) as server, local_channel(server.address) as channel:
        client = server.new_client(channel)
        handle = unique("mia")
        account = client.connect(handle, access_token=SandboxApp(server.web_url).signed_in(handle).token)
        post = client.draft(account.id)
        client.with_call("SocialPostService/PublishSocialPost", social_post_id=post.id, extra=CONTEXT)

        def is_published() -> bool:
            return state(client, post.id) == "PUBLISHED"

        eventually("it is published", is_published, every=0.2)
        logged = one_line(server.logged(message="call", method="SocialPostService/PublishSocialPost"))
        assert server.stop() == 0, server.log.read_text()
    # Whatever waited was sent before the processes ended.
    call = one(collector.named(f"{SERVICE}/PublishSocialPost"))
    assert (call.trace_id, call.parent_id, call.kind) == (TRACE, PARENT, "server")
    assert (logged["trace_id"], logged["span_id"]) == (TRACE, call.span_id)
    assert call.resource["service.name"] == "hitchpost"
    assert call.resource["deployment.environment.name"] == "test"
    assert "posts.schedule" in {span.name for span in collector.within(call)}
    assert {span.trace_id for span in collector.within(call)} == {TRACE}
    send = one([span for span in collector.named("due posts") if span.links])
    assert send.links == [(TRACE, call.span_id)]
    assert send.resource["process.pid"] != call.resource["process.pid"]
    asked = one([span for span in collector.within(send) if span.name == "POST"])
    assert asked.attributes["server.address"] == "127.0.0.1"
    assert asked.attributes["http.response.status_code"] == 201
    # Of the draft nobody has made anything due.
    assert one(collector.named(f"{SERVICE}/CreateSocialPost")).trace_id != TRACE


def test_without_traces_no_line_and_no_row_says_anything_of_them(
    run_dir: Path, new_database: Callable[[], str]
) -> None:
    url = new_database()
    with serving(run_dir, url) as server, local_channel(server.address) as channel:
        client = server.new_client(channel)
        post = client.draft(client.connect().id)
        client.with_call("SocialPostService/PublishSocialPost", social_post_id=post.id, extra=CONTEXT)
        assert server.logged(message="call", method="SocialPostService/PublishSocialPost")
    assert TRACE not in server.log.read_text()
    assert "trace_id" not in server.log.read_text()
    assert rows(url, "SELECT DISTINCT trace_context FROM social_post_target") == [(None,)]


def test_calls_and_stops_do_not_mind_a_collector_that_is_away(
    collector: Collector, run_dir: Path, new_database: Callable[[], str]
) -> None:
    collector.status = 400
    with serving(run_dir, new_database()) as server, local_channel(server.address) as channel:
        client = server.new_client(channel)
        for _ in range(3):
            asked = collector.requests
            client("SocialPostService/ListSocialPosts")
            eventually("the collector has been asked", lambda before=asked: collector.requests > before)
        worker = server.worker_of(channel)
        assert server.stop() == 0, server.log.read_text()
    warned = server.logged(message="the collector does not take spans", process=worker)
    # Once a minute at most, and they were three; on a busy machine that may take longer than one.
    assert 0 < len(warned) < 3
    assert warned[0]["level"] == "WARNING"
    assert collector.spans == []


def test_a_server_that_cannot_trace_as_it_is_told_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otlp")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    said = "OTEL_EXPORTER_OTLP_PROTOCOL can't be 'grpc'; it must be http/protobuf, which collectors take at"
    assert refused("serve") == f"hitchpost: {said} port 4318"


def state(client: Client, post_id: str) -> str:
    post = client("SocialPostService/GetSocialPost", social_post_id=post_id).social_post
    field = post.DESCRIPTOR.fields_by_name["state"]
    return str(field.enum_type.values_by_number[post.state].name).removeprefix("SOCIAL_POST_STATE_")


def one_line(lines: list[dict[str, str]]) -> dict[str, str]:
    assert len(lines) == 1, json.dumps(lines)
    return lines[0]
