"""What docs/clients.md promises of retries and keepalive, with the very config that stands there."""

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import grpc
import psycopg2
import pytest

from generated.hitchpost.v1 import social_post_service_pb2 as posts_pb
from generated.hitchpost.v1 import social_post_service_pb2_grpc as posts_grpc
from tests.clients.python.story import RETRIES
from tests.kit.servers import REPOSITORY, Server, eventually, local_channel, rows, serving
from tests.kit.support import Client, unique

PAGE = (REPOSITORY / "docs" / "clients.md").read_text()
SERVICE_CONFIG = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)[0]
RETRYING = [("grpc.service_config", SERVICE_CONFIG), ("grpc.enable_retries", 1)]


@pytest.fixture(scope="module")
def server(run_dir: Path, new_database: Callable[[], str]) -> Iterator[Server]:
    with serving(run_dir, new_database(), workers="2") as running:
        yield running


def kill_during_create(server: Server, options: list[tuple[str, int | str]]) -> tuple[Client, grpc.Future]:
    """Kills the worker while it creates a post: it has the call, and waits for a lock in the database."""
    url = server.settings["database_url"]
    channel = local_channel(server.address, options=options)
    client = server.new_client(channel)
    account = client.connect()
    worker = server.worker_of(channel)
    post = posts_pb.SocialPost(external_id="tag", caption="hello", social_account_ids=[account.id])
    request = posts_pb.CreateSocialPostRequest(social_post=post, request_id=unique("request"))
    with closing(psycopg2.connect(url)) as holder:
        holder.cursor().execute("LOCK TABLE social_post IN ACCESS EXCLUSIVE MODE")
        call = posts_grpc.SocialPostServiceStub(channel).CreateSocialPost.future(
            request, metadata=client.metadata, timeout=30
        )
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'social_post'::regclass"
        eventually("the call waits for the lock", lambda: rows(url, waiting)[0][0] > 0)
        next(child for child in server.children() if child.pid == worker).kill()
    return client, call


def posts_of(server: Server, client: Client) -> int:
    statement = "SELECT count(*) FROM social_post WHERE project_id = %s"
    return int(rows(server.settings["database_url"], statement, client.project_id)[0][0])


def test_a_worker_killed_in_the_middle_of_a_call(server: Server) -> None:
    client, call = kill_during_create(server, RETRYING)
    assert call.result().social_post.external_id == "tag"
    assert posts_of(server, client) == 1
    client.channel.close()


def test_without_the_config_the_caller_would_have_seen_it(server: Server) -> None:
    client, call = kill_during_create(server, [("grpc.enable_retries", 0)])
    assert call.code() is grpc.StatusCode.UNAVAILABLE
    client.channel.close()


def test_the_clients_have_the_config_of_the_page() -> None:
    assert json.loads(SERVICE_CONFIG) == RETRIES


def test_keepalive_pings_every_ten_seconds_are_accepted(server: Server) -> None:
    options = [("grpc.keepalive_time_ms", 10_000), ("grpc.keepalive_permit_without_calls", 1)]
    states: list[grpc.ChannelConnectivity] = []
    lost = threading.Event()

    def note(state: grpc.ChannelConnectivity) -> None:
        states.append(state)
        if grpc.ChannelConnectivity.READY in states and state is not grpc.ChannelConnectivity.READY:
            lost.set()

    with local_channel(
        server.address, options=[*options, ("grpc.http2.max_pings_without_data", 0)]
    ) as channel:
        channel.subscribe(note, try_to_connect=True)
        eventually("the channel is ready", lambda: grpc.ChannelConnectivity.READY in states)
        began = time.monotonic()
        assert not lost.wait(45), f"the server closed the connection after {time.monotonic() - began:.0f} s"
