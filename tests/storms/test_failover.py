"""A primary freezes or dies under load, its synchronous standby takes over: nothing acknowledged is lost."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest

from tests.kit.health import STATUS, health, healthz
from tests.kit.postgres import Node, url
from tests.kit.servers import SERVICES, eventually, local_channel, rows, serving
from tests.kit.support import Client, code_of, unique

WRITERS = 4
READERS = 4
# Of one call; with a statement timeout of a second no database that is away may use it up.
DEADLINE_SECONDS = 20.0


@dataclass
class Load:
    """One thread's calls, one after another, until it is told to stop."""

    client: Client
    account_id: str
    stop: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread = field(init=False)
    codes: list[str] = field(default_factory=list)
    ids: dict[str, str] = field(default_factory=dict)

    def start(self, calls: Callable[[], None]) -> None:
        """Lets a thread make these calls."""
        self.thread = threading.Thread(target=calls)
        self.thread.start()

    def end(self) -> None:
        """Returns when the last call has its answer."""
        self.stop.set()
        self.thread.join(DEADLINE_SECONDS)

    def write(self) -> None:
        """Creates posts, each repeated with its request_id until it is acknowledged."""
        for _ in range(100_000):
            name = unique("post")
            while name not in self.ids:
                if self.stop.wait(0.01):
                    return
                self.codes.append(code_of(lambda name=name: self._create(name)))

    def read(self) -> None:
        """Gets the account."""
        for _ in range(100_000):
            if self.stop.wait(0.01):
                return
            self.codes.append(code_of(self._get))

    def _get(self) -> None:
        method = "SocialAccountService/GetSocialAccount"
        self.client(method, social_account_id=self.account_id, timeout=DEADLINE_SECONDS)

    def _create(self, name: str) -> None:
        post = {"caption": name, "social_account_ids": [self.account_id]}
        answer = self.client(
            "SocialPostService/CreateSocialPost", social_post=post, request_id=name, timeout=DEADLINE_SECONDS
        )
        self.ids[name] = answer.social_post.id


def start(client: Client, channels: list[grpc.Channel]) -> list[Load]:
    """A writer or a reader on each channel."""
    account_id = client.connect().id
    loads = [Load(Client(channel, client.key), account_id) for channel in channels]
    for number, load in enumerate(loads):
        load.start(load.write if number < WRITERS else load.read)
    return loads


@pytest.fixture
def nodes(run_dir: Path) -> Iterator[tuple[Node, Node]]:
    """A primary, and a standby without which it confirms no write."""
    with ExitStack() as running:
        primary = Node(run_dir / unique("primary"))
        primary.initialize()
        running.callback(primary.stop)
        primary.start()
        standby = primary.copy(unique("standby"))
        running.callback(standby.stop)
        standby.start()
        primary.set("synchronous_standby_names", "*")
        state = "SELECT sync_state FROM pg_stat_replication"
        eventually("the standby is synchronous", lambda: primary.execute(state) == [("sync",)])
        yield primary, standby


@pytest.mark.parametrize("how", ["freeze", "kill"])
def test_a_primary_that_is_lost_under_load_costs_no_acknowledged_write(
    how: str, nodes: tuple[Node, Node], run_dir: Path
) -> None:
    primary, standby = nodes
    with (
        serving(run_dir, url(primary, standby), workers="2", statement_timeout="1") as server,
        ExitStack() as opened,
    ):
        channels = [local_channel(server.address) for _ in range(WRITERS + READERS)]
        for channel in channels:
            opened.callback(channel.close)
        loads = start(server.new_client(channels[0]), channels)
        for load in loads:
            opened.callback(load.end)
        eventually("calls succeed", lambda: all(load.codes[-20:] == ["OK"] * 20 for load in loads))
        getattr(primary, how)()
        eventually("calls fail", lambda: all(load.codes[-1] == "UNAVAILABLE" for load in loads))
        eventually("health says so", lambda: says(channels) == {STATUS.NOT_SERVING})
        assert healthz(server) == 503
        promoted = time.monotonic()
        standby.promote()
        eventually("all go on", lambda: all(load.codes[-20:] == ["OK"] * 20 for load in loads), seconds=60)
        print(f"{how}: every thread has 20 successes {time.monotonic() - promoted:.1f} s after the promotion")
        eventually("health is back", lambda: says(channels) == {STATUS.SERVING})
        for load in loads:
            load.end()
    check(loads, standby)


def says(channels: list[grpc.Channel]) -> set[int]:
    """What the workers say of each service."""
    return {health(channel, service) for channel in channels for service in SERVICES}


def check(loads: list[Load], primary: Node) -> None:
    """Every call has had an answer in time, and what was acknowledged is there, once."""
    codes = [code for load in loads for code in load.codes]
    print(f"{codes.count('OK')} acknowledged, {codes.count('UNAVAILABLE')} told to try again")
    assert set(codes) == {"OK", "UNAVAILABLE"}
    acknowledged = {name: post_id for load in loads for name, post_id in load.ids.items()}
    stored = rows(primary.url, "SELECT caption, id FROM social_post")
    assert len(stored) == len(dict(stored)), "a repeated request was done twice"
    assert acknowledged.items() <= dict(stored).items(), "an acknowledged write is lost"
