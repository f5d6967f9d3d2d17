"""Another primary takes over: what a running server and its callers see of it."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import grpc
import pytest

from tests.postgres import Node, url
from tests.servers import SERVICES, Server, eventually, local_channel, printed, serving
from tests.support import Client, failure, unique
from tests.test_processes import STATUS, health, healthz

LIST = "SocialAccountService/ListSocialAccounts"
CREATE = "SocialPostService/CreateSocialPost"
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


def outcome(client: Client, method: str, **fields: object) -> tuple[str, str, bool]:
    """Code, reason, and whether the caller is told when to try again."""
    try:
        client(method, timeout=30, **fields)
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
