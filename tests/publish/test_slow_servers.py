"""A platform that lets us wait does not take all of a worker's threads."""

from collections.abc import Iterator
from contextlib import ExitStack
from threading import Event, Thread

import pytest

from server.publish.publisher import Sending, Values
from server.publish.slow_servers import SLOW_SECONDS, SlowServers
from tests.kit.publishing import Posting, Scripted


@pytest.mark.parametrize(("slow", "room"), [(0, True), (1, True), (2, False), (3, False)])
def test_so_many_may_wait_for_a_server(slow: int, room: bool) -> None:
    servers = SlowServers(2, slow_seconds=0.0)
    with ExitStack() as waiting:
        for _ in range(slow):
            waiting.enter_context(servers.sending_to("a.example"))
        assert servers.has_room("a.example") is room
        assert servers.has_room("b.example")
    assert servers.has_room("a.example")


def test_who_answers_soon_is_not_slow() -> None:
    servers = SlowServers(1, slow_seconds=60.0)
    with servers.sending_to("a.example"), servers.sending_to("a.example"):
        assert servers.has_room("a.example")


@pytest.fixture
def hanging(posting: Posting, platform: Scripted) -> Iterator[Event]:
    """The platform has been asked for a post and does not answer until the test ends."""
    asked, answer = Event(), Event()

    def hang(sending: Sending) -> Values:
        asked.set()
        assert answer.wait(60)
        return platform.accept(sending)

    platform.will("run publish", hang)
    posting.sender._servers = SlowServers(1, slow_seconds=0.0)
    posting.post(posting.client.connect().id, text="hangs")
    [leased] = posting.lease()
    thread = Thread(target=posting.sender.send, args=[leased])
    thread.start()
    assert asked.wait(60)
    yield answer
    answer.set()
    thread.join(60)


def test_what_finds_no_room_is_looked_at_again_and_was_not_begun(posting: Posting, hanging: Event) -> None:
    post = posting.post(posting.client.connect().id)
    [leased] = posting.lease()
    posting.sender.send(leased)
    [(state, count, later)] = posting.sql(
        "SELECT state, attempt_count, extract(epoch FROM due_time - now()) FROM social_post_target "
        "WHERE social_post_id = %s",
        post,
    )
    assert (state, count) == (1, 0)
    assert 0 < later <= SLOW_SECONDS
    assert not hanging.is_set()
