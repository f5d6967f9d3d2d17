"""How often an API key may call: the bucket by a clock of its own, and what callers of each wire see."""

import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from functools import partial

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from server.base.errors import RateLimited
from server.base.identity import utc_now
from server.projects import projects
from server.rpc import rate_limits
from server.rpc.rate_limits import RateLimits
from server.run import methods
from server.run.grpc import serve_grpc
from server.run.web import serve_web
from tests.conftest import Running
from tests.kit.mcp_channel import McpChannel
from tests.kit.rest import RestChannel
from tests.kit.support import Client, free_port, unique

READ = "SocialAccountService/ListSocialAccounts"


class Time:
    """A clock that tests set."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def taken(limits: RateLimits, key: str, most: int = 100) -> int:
    """How many calls the key may make at once."""
    for number in range(most):
        try:
            limits.take(key)
        except RateLimited:
            return number
    return most


def test_a_bucket_is_full_at_first_and_fills_at_its_rate() -> None:
    time = Time()
    limits = RateLimits(rate=4, burst=8, clock=time)
    assert taken(limits, "key") == 8
    time.now += 0.25
    assert taken(limits, "key") == 1
    time.now += 0.875
    assert taken(limits, "key") == 3
    # The half of a token that was left counts.
    time.now += 0.125
    assert taken(limits, "key") == 1
    time.now += 3600
    assert taken(limits, "key") == 8


def test_who_is_refused_is_told_when_to_come_again_and_then_gets_in() -> None:
    time = Time()
    limits = RateLimits(rate=3, burst=1, clock=time)
    limits.take("key")
    with pytest.raises(RateLimited) as refused:
        limits.take("key")
    assert refused.value.retry_after == timedelta(milliseconds=334)
    assert refused.value.metadata == {"limit": "3"}
    # Being refused costs nothing.
    assert taken(limits, "key") == 0
    time.now += refused.value.retry_after.total_seconds()
    assert taken(limits, "key") == 1


def test_each_key_has_a_bucket_of_its_own() -> None:
    limits = RateLimits(rate=1, burst=2, clock=Time())
    assert [taken(limits, key) for key in ("one", "other", "one")] == [2, 2, 0]


def test_threads_get_no_more_than_there_is() -> None:
    limits = RateLimits(rate=1, burst=20_000, clock=Time())
    begin = threading.Barrier(4)

    def take(_: int) -> int:
        begin.wait(20)
        return taken(limits, "key", most=20_000)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            assert sum(pool.map(take, range(4))) == 20_000
    finally:
        sys.setswitchinterval(interval)


def test_no_more_buckets_than_the_process_remembers_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limits, "MAX_BUCKETS", 3)
    limits = RateLimits(rate=1, burst=1, clock=Time())
    for number in range(10):
        limits.take(str(number))
    assert list(limits._buckets) == ["7", "8", "9"]
    assert taken(limits, "9") == 0


@pytest.fixture(params=["grpc", "rest", "mcp"])
def limited(
    request: pytest.FixtureRequest, running: Running, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Client, Time]]:
    """A client whose key may make three calls at once, over each wire, and the clock that allows the next."""
    time = Time()
    monkeypatch.setattr(methods, "RateLimits", partial(RateLimits, clock=time))
    addresses = {name: f"127.0.0.1:{free_port()}" for name in ("grpc_address", "web_address")}
    settings = running.settings.model_copy(update={**addresses, "rate_limit": 1, "rate_limit_burst": 3})
    web = f"http://{settings.web_address}"
    open_channel: Callable[[], grpc.Channel | RestChannel | McpChannel] = {
        "grpc": lambda: grpc.insecure_channel(settings.grpc_address),
        "rest": lambda: RestChannel(web),
        "mcp": lambda: McpChannel(web),
    }[request.param]
    serve = serve_grpc if request.param == "grpc" else serve_web
    ready, stop = threading.Event(), threading.Event()
    thread = threading.Thread(target=serve, args=(replace(running.app, settings=settings), ready, stop))
    thread.start()
    assert ready.wait(20)
    project = projects.create(unique("project"), utc_now())
    channel = open_channel()
    key = projects.create_key(project, "limited", utc_now())
    yield Client(channel, key, project_id=project), time  # type: ignore[arg-type]
    channel.close()
    stop.set()
    thread.join(30)


def retry_delay(client: Client) -> timedelta | None:
    """RetryInfo's, of a call that is refused."""
    with pytest.raises(grpc.RpcError) as refused:
        client(READ)
    for detail in rpc_status.from_call(refused.value).details:  # type: ignore[union-attr]
        info = error_details_pb2.RetryInfo()
        if detail.Unpack(info):
            return info.retry_delay.ToTimedelta()
    return None


def test_a_key_that_calls_too_often_is_told_so(limited: tuple[Client, Time]) -> None:
    client, time = limited
    reader = client.with_key(projects.create_key(client.project_id, "reader", utc_now(), read_only=True))
    for _ in range(3):
        client(READ)
    failure = client.fails(READ)
    assert failure.what == ("RESOURCE_EXHAUSTED", "RATE_LIMITED")
    assert (failure.metadata, failure.retry, bool(failure.request_id)) == ({"limit": "1"}, True, True)
    # Another key of the same project has calls of its own; one that it may not make counts, too.
    reader(READ)
    reader(READ)
    refused = reader.fails("SocialPostService/DeleteSocialPost", social_post_id="sp_1")
    assert refused.what == ("PERMISSION_DENIED", "API_KEY_READ_ONLY")
    assert reader.fails(READ).reason == "RATE_LIMITED"
    time.now += 1
    client(READ)
    assert client.fails(READ).reason == "RATE_LIMITED"


def test_grpc_clients_learn_when_to_come_again(limited: tuple[Client, Time]) -> None:
    client, time = limited
    if isinstance(client.channel, RestChannel | McpChannel):
        return
    for _ in range(3):
        client(READ)
    time.now += 0.25
    assert retry_delay(client) == timedelta(milliseconds=750)


def test_without_the_setting_nobody_is_refused(client: Client, running: Running) -> None:
    assert running.settings.rate_limit is None
    for _ in range(20):
        client(READ)
