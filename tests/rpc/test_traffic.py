"""The bounds of what is under way on a worker, on calls without a wire; storms prove them for real."""

from dataclasses import dataclass, field

import pytest

from server.rpc import traffic
from server.rpc.traffic import (
    ANSWER_SECONDS,
    CONNECTION_SHARE,
    LITTLE,
    MAX_BYTES,
    REQUEST_SECONDS,
    Connection,
    Traffic,
)

pytestmark = pytest.mark.own_loop

MESSAGE = MAX_BYTES // 16
OF_A_CONNECTION = MAX_BYTES // CONNECTION_SHARE // MESSAGE


@dataclass(eq=False)
class Counted:
    """A call without a wire."""

    connection: Connection
    held: int = 0
    untaken: int = 0
    gone: bool = False
    asked: int = 0
    given_up: int = 0

    def receive(self) -> None:
        """Counts."""
        self.asked += 1

    def give_up(self) -> None:
        """Counts."""
        self.given_up += 1


@dataclass
class Time:
    """A clock that tests set."""

    now: float = 100.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Worker:
    """The traffic of a worker, and the calls there are."""

    time: Time = field(default_factory=Time)

    def __post_init__(self) -> None:
        self.traffic = Traffic(MESSAGE, self.time)

    def calls(self, count: int, peer: bytes = b"a") -> list[Counted]:
        """New calls of a connection, whose messages are asked for."""
        calls = [Counted(self.traffic.enter(peer)) for _ in range(count)]
        for call in calls:
            self.traffic.ask(call)
        return calls


def asked(calls: list[Counted]) -> int:
    """How many messages were asked for."""
    assert all(call.asked <= 1 for call in calls)
    return sum(call.asked for call in calls)


def test_a_connection_has_a_quarter_of_the_bytes_and_the_others_have_theirs() -> None:
    worker = Worker()
    greedy = worker.calls(100)
    assert asked(greedy) == OF_A_CONNECTION
    assert asked(worker.calls(1, b"b")) == 1
    more = [call for number in range(8) for call in worker.calls(10, b"%d" % number)]
    assert asked(greedy) + 1 + asked(more) == MAX_BYTES // MESSAGE
    assert worker.traffic.bytes == MAX_BYTES


def test_room_that_comes_free_goes_to_the_connections_in_turn() -> None:
    worker = Worker()
    holders = [
        call for number in range(CONNECTION_SHARE) for call in worker.calls(OF_A_CONNECTION, b"%d" % number)
    ]
    assert asked(holders) == len(holders)
    first, second = worker.calls(10, b"x"), worker.calls(10, b"y")
    assert asked(first) + asked(second) == 0
    for call in holders[:4]:
        worker.traffic.settle(call, 0)
    assert (asked(first), asked(second)) == (2, 2)


def test_small_messages_and_answers_give_their_room_free() -> None:
    worker = Worker()
    calls = worker.calls(1000)
    for call in calls:
        assert call.asked
        worker.traffic.settle(call, 100)
        worker.traffic.answering(call, 200)
        worker.traffic.leave(call)
    assert (worker.traffic.bytes, worker.traffic.untaken, worker.traffic.calls) == (0, 0, 0)
    assert not worker.traffic._connections
    assert not worker.traffic._asking
    assert not worker.traffic._answering


def test_answers_that_nobody_takes_crowd_their_own_connection_only() -> None:
    worker = Worker()
    [call], [other] = worker.calls(1), worker.calls(1, b"b")
    worker.traffic.settle(call, 10)
    worker.traffic.answering(call, MAX_BYTES // CONNECTION_SHARE)
    assert worker.traffic.is_crowded(call.connection)
    assert not worker.traffic.is_crowded(other.connection)
    worker.traffic.leave(call)
    assert not worker.traffic.is_crowded(call.connection)


def test_whoever_takes_its_answers_gets_more_while_others_leave_theirs() -> None:
    worker = Worker()
    left = [worker.calls(1, b"%d" % number)[0] for number in range(CONNECTION_SHARE)]
    for call in left:
        worker.traffic.settle(call, 10)
        worker.traffic.answering(call, MAX_BYTES // CONNECTION_SHARE)
    [reader] = worker.calls(1, b"reader")
    assert asked([reader]) == 1, "answers take no room from requests"
    assert not worker.traffic.is_crowded(reader.connection)
    worker.traffic.settle(reader, 10)
    worker.traffic.answering(reader, LITTLE)
    assert worker.traffic.is_crowded(reader.connection)
    worker.traffic.leave(reader)
    assert not worker.traffic.is_crowded(worker.calls(1, b"reader")[0].connection)
    worker.traffic.answering(left[0], 2 * MAX_BYTES)
    assert worker.traffic.is_crowded(worker.calls(1, b"anybody")[0].connection), "memory has its bound"


def test_whoever_lets_the_server_wait_is_given_up_once_and_only_then() -> None:
    worker = Worker()
    [silent], [served], [reading] = worker.calls(1), worker.calls(1, b"b"), worker.calls(1, b"c")
    worker.traffic.settle(served, 10)
    worker.traffic.settle(reading, 10)
    worker.time.now += REQUEST_SECONDS / 2
    worker.traffic.answering(reading, 10)
    worker.time.now += REQUEST_SECONDS / 2 + 0.1
    worker.traffic.give_up_overdue()
    assert (silent.given_up, served.given_up, reading.given_up) == (1, 0, 0)
    worker.time.now += ANSWER_SECONDS - REQUEST_SECONDS
    worker.traffic.give_up_overdue()
    assert (silent.given_up, served.given_up, reading.given_up) == (1, 0, 0), "a slow line has its time"
    worker.time.now += REQUEST_SECONDS
    worker.traffic.give_up_overdue()
    assert (silent.given_up, served.given_up, reading.given_up) == (1, 0, 1)


def test_a_call_that_finds_no_room_for_too_long_is_given_up() -> None:
    worker = Worker()
    holders = worker.calls(OF_A_CONNECTION)
    worker.time.now += REQUEST_SECONDS / 2
    [waiting] = worker.calls(1)
    worker.time.now += REQUEST_SECONDS / 2 + 0.1
    worker.traffic.give_up_overdue()
    assert [holder.given_up for holder in holders] == [1] * OF_A_CONNECTION
    assert (waiting.given_up, waiting.held) == (0, 0)
    worker.time.now += REQUEST_SECONDS / 2
    worker.traffic.give_up_overdue()
    assert (waiting.given_up, waiting.held) == (1, 0)


def test_a_call_that_has_gone_holds_nothing_whatever_comes_after() -> None:
    worker = Worker()
    [call] = worker.calls(1)
    worker.traffic.leave(call)
    worker.traffic.settle(call, 1000)
    worker.traffic.answering(call, 1000)
    worker.traffic.ask(call)
    worker.time.now += 2 * ANSWER_SECONDS
    worker.traffic.give_up_overdue()
    assert (worker.traffic.bytes, worker.traffic.untaken, worker.traffic.calls) == (0, 0, 0)
    assert call.given_up == 0


def test_a_call_that_goes_while_it_waits_for_room_is_forgotten() -> None:
    worker = Worker()
    holders = worker.calls(OF_A_CONNECTION)
    gone, next_one = worker.calls(2)
    worker.traffic.leave(gone)
    worker.traffic.settle(holders[0], 0)
    assert (gone.asked, next_one.asked) == (0, 1)


def test_a_worker_has_so_many_open_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traffic, "MAX_CALLS", 3)
    monkeypatch.setattr(traffic, "FEW", 1)
    worker = Worker()
    calls = worker.calls(3)
    connection = calls[0].connection
    assert not worker.traffic.is_full(connection)
    [one_more] = worker.calls(1)
    assert worker.traffic.is_full(connection)
    worker.traffic.leave(one_more)
    assert not worker.traffic.is_full(connection)
    assert asked(calls) == 3


def test_a_full_worker_still_takes_a_few_calls_of_every_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traffic, "MAX_CALLS", 20)
    worker = Worker()
    greedy = worker.calls(21)
    assert worker.traffic.is_full(greedy[0].connection)
    modest = worker.calls(traffic.FEW, b"modest")
    assert not worker.traffic.is_full(modest[0].connection)
    more = worker.calls(10, b"modest")
    assert worker.traffic.is_full(more[0].connection)
