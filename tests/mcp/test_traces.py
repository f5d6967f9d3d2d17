"""A tool's call has the span of its method."""

import os

import pytest

from server.base import tracing
from tests.conftest import Running
from tests.kit import mcp
from tests.kit.collector import collecting
from tests.kit.support import Client


def test_a_tools_call_is_a_call_of_its_method(
    running: Running, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        tracing.start(os.environ)
        try:
            mcp.over_http(f"http://{running.settings.web_address}", client.key).call("list_social_posts")
        finally:
            tracing.stop()
    [call] = collector.named("hitchpost.v1.SocialPostService/ListSocialPosts")
    assert (call.kind, call.attributes["rpc.grpc.status_code"]) == ("server", 0)
    assert collector.within(call)
