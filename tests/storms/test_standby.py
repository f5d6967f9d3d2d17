"""Another primary takes over: what a running server and its callers see of it."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import grpc
import pytest

from tests.kit.health import STATUS, health, healthz
from tests.kit.postgres import Node, url
from tests.kit.servers import SERVICES, Server, eventually, local_channel, printed, serving
from tests.kit.support import Client, failure, unique

LIST = "SocialAccountService/ListSocialAccounts"
CREATE = "SocialPostService/CreateSocialPost"
WAITING_WRITES = 16
DISCONNECT = "SocialAccountService/DisconnectSocialAccount"


@pytest.fixture
def primary(run_dir: Path) -> Iterator[Node]:
    """A primary with a server's tables."""
    node = Node(run_dir / unique("primary"))
    node.initialize()
    try:
        node.start()
        yield node
    finally:
        node.stop()


@pytest.fixture
def standby(primary: Node) -> Iterator[Node]:
    """What follows the primary."""
    node = primary.copy(unique("standby"))
    try:
        node.start()
        yield node
    finally:
        node.stop()


def outcome(client: Client, method: str, timeout: float = 30, **fields: object) -> tuple[str, str, bool]:
    """Code, reason, and whether the caller is told when to try again."""
    try:
        client(method, timeout=timeout, **fields)
    except grpc.RpcError as error:
        failed = failure(error)
        return (*failed.what, failed.retry)
    return ("OK", "", False)


AWAY = ("UNAVAILABLE", "DATABASE_UNAVAILABLE", True)
FINE = ("OK", "", False)


def says(server: Server, channel: grpc.Channel) -> tuple[set[int], int]:
    """What both kinds of health check say."""
    return {health(channel, service) for service in SERVICES}, healthz(server)


def test_a_demoted_primary_is_away_until_the_standby_is_promoted(
    primary: Node, standby: Node, run_dir: Path
) -> None:
    with (
        serving(run_dir, url(primary, standby)) as server,
        closing(local_channel(server.address)) as channel,
    ):
        client = server.new_client(channel)
        post = {"caption": "x", "social_account_ids": [client.connect().id]}
        before = {child.pid for child in server.children()}
        primary.demote()
        # Each thread's first, and those after.
        assert {outcome(client, CREATE, social_post=post) for _ in range(20)} == {AWAY}
        eventually("reads are refused, too", lambda: outcome(client, LIST) == AWAY)
        eventually("health says so", lambda: says(server, channel) == ({STATUS.NOT_SERVING}, 503))
        standby.promote()
        eventually("health is back", lambda: says(server, channel) == ({STATUS.SERVING}, 200))
        for method, fields in [(CREATE, {"social_post": post}), (LIST, {})] * 10:
            assert outcome(client, method, **fields) == FINE
        assert {child.pid for child in server.children()} == before, "it needed no restart"


def test_several_hosts_in_the_url_lead_every_command_to_the_primary(
    primary: Node, standby: Node, run_dir: Path
) -> None:
    several = url(standby, primary).partition("?")[0]
    with serving(run_dir, several) as server, closing(local_channel(server.address)) as channel:
        # The server has migrated, and an operator makes a project and a key.
        server.new_client(channel).connect()
        assert "FAIL" not in printed("doctor", **server.settings)


def test_a_repeated_call_waits_for_the_standby_as_the_first_one_did(primary: Node, run_dir: Path) -> None:
    with (
        serving(run_dir, primary.url, statement_timeout="1") as server,
        closing(local_channel(server.address)) as channel,
    ):
        client = server.new_client(channel)
        account_id = client.connect().id
        post = {"caption": "x", "social_account_ids": [account_id]}
        request = {"social_post": post, "request_id": unique("request")}
        primary.set("synchronous_standby_names", "gone")
        # The second one finds what only this server has.
        assert [outcome(client, CREATE, **request) for _ in range(2)] == [AWAY, AWAY]
        assert [outcome(client, DISCONNECT, social_account_id=account_id) for _ in range(2)] == [AWAY, AWAY]
        assert outcome(client, LIST) == FINE
        assert says(server, channel) == ({STATUS.SERVING}, 200)
        primary.set("synchronous_standby_names", "")
        assert outcome(client, CREATE, **request) == FINE
        assert len(client("SocialPostService/ListSocialPosts").social_posts) == 1


def test_reads_go_on_while_more_writes_than_threads_wait_for_a_standby_that_is_gone(
    primary: Node, run_dir: Path
) -> None:
    with (
        serving(run_dir, primary.url, statement_timeout="2") as server,
        closing(local_channel(server.address)) as channel,
        closing(local_channel(server.address)) as other,
    ):
        client = server.new_client(channel)
        reader = Client(other, client.key)
        posts = [{"caption": "x", "social_account_ids": [client.connect().id]} for _ in range(WAITING_WRITES)]
        primary.set("synchronous_standby_names", "gone")
        with ThreadPoolExecutor(WAITING_WRITES) as pool:
            writes = [pool.submit(outcome, client, CREATE, social_post=post) for post in posts]
            waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
            eventually("writes hold all their threads", lambda: primary.execute(waiting)[0][0] >= 4)
            began, reads = time.monotonic(), 0
            while time.monotonic() - began < 3:
                assert outcome(reader, LIST, timeout=2) == FINE
                reads += 1
            assert not all(write.done() for write in writes)
            assert {write.result(90) for write in writes} <= {AWAY, FINE}
        print(f"\n{reads:,} reads in 3 s beside {WAITING_WRITES} writes that wait for a standby that is gone")
        assert reads > 50
        primary.set("synchronous_standby_names", "")
