"""Lanes: one busy row keeps no thread from the others, nothing is lost, and what waits is bounded."""

import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from server.rpc.lanes import Lane
from tests.kit.servers import eventually


@dataclass
class Job:
    """Work that takes until it may end."""

    rows: Collection[str] = ()
    may_end: threading.Event = field(default_factory=threading.Event)
    begun: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)
    fails: bool = False

    def serve(self) -> None:
        """Does the work."""
        self.begun.set()
        assert self.may_end.wait(30)
        self.ended.set()
        if self.fails:
            raise RuntimeError("a defect")


def quick(rows: Collection[str] = ()) -> Job:
    """Work that takes no time."""
    job = Job(rows)
    job.may_end.set()
    return job


@contextmanager
def running(threads: int, max_waiting: int = 100) -> Iterator[Lane]:
    """A lane that has started, stopped at the end."""
    before = set(threading.enumerate())
    lane = Lane("lane", threads, max_waiting)
    lane.start()
    yield lane
    lane.stop()
    eventually("its threads end", lambda: set(threading.enumerate()) <= before)


def begun(jobs: Collection[Job]) -> int:
    """How many have begun."""
    return sum(job.begun.is_set() for job in jobs)


def test_a_row_has_half_of_the_threads_and_others_go_on() -> None:
    with running(threads=4) as lane:
        hot = [Job({"hot"}) for _ in range(20)]
        assert all(lane.put(job) for job in hot)
        eventually("two have begun", lambda: begun(hot) == 2)
        for _ in range(50):
            other = quick({"other"})
            assert lane.put(other)
            assert other.ended.wait(60)
        assert begun(hot) == 2
        assert lane.waiting == 18
        for job in hot:
            job.may_end.set()
        assert all(job.ended.wait(60) for job in hot)
        assert lane.waiting == 0


def test_calls_of_one_row_keep_their_order() -> None:
    order: list[int] = []

    def job(number: int) -> Job:
        made = quick({"row"})
        serve: Callable[[], None] = made.serve
        made.serve = lambda: (order.append(number), serve())[1]  # type: ignore[method-assign]
        return made

    with running(threads=2) as lane:
        first = Job({"row"})
        lane.put(first)
        jobs = [job(number) for number in range(20)]
        for made in jobs:
            lane.put(made)
        first.may_end.set()
        assert all(made.ended.wait(60) for made in jobs)
    assert order == list(range(20))


def test_a_call_waits_for_all_its_rows_and_holds_none_meanwhile() -> None:
    with running(threads=2) as lane:
        holds_a, both, wants_b = Job({"a"}), quick({"a", "b"}), quick({"b"})
        lane.put(holds_a)
        assert holds_a.begun.wait(60)
        lane.put(both)
        lane.put(wants_b)
        assert wants_b.ended.wait(60), "the call that waits for a must not hold b"
        assert not both.begun.is_set()
        holds_a.may_end.set()
        assert both.ended.wait(60)


def test_no_more_wait_than_may_and_a_row_has_half_of_the_places() -> None:
    with running(threads=2, max_waiting=10) as lane:
        hot, others = [Job({"hot"}) for _ in range(7)], [Job() for _ in range(20)]
        assert lane.put(hot[0])
        assert hot[0].begun.wait(60)
        assert [lane.put(job) for job in hot[1:]] == [True] * 5 + [False]
        assert lane.put(others[0])
        assert others[0].begun.wait(60)
        assert [lane.put(job) for job in others[1:]] == [True] * 5 + [False] * 14
        assert lane.waiting == 10
        for job in (*hot, *others):
            job.may_end.set()
        assert all(job.ended.wait(60) for job in (*hot[:6], *others[:6]))


@pytest.mark.parametrize("rows", [(), ("row",)])
def test_a_defect_costs_neither_the_thread_nor_the_row(
    rows: Collection[str], caplog: pytest.LogCaptureFixture
) -> None:
    with running(threads=1) as lane:
        for _ in range(5):
            job = quick(rows)
            job.fails = True
            lane.put(job)
        last = quick(rows)
        lane.put(last)
        assert last.ended.wait(60)
    assert len(caplog.records) == 5
