"""A worker that dies at a given moment of a send: before any of its statements, and before, during and after
any call of its publisher.

It is forked for each death from a process that has built all that a worker is made of.
"""

import logging
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.connection import Connection
from threading import Event, Thread
from typing import Any

from server.app import build
from server.config import Settings
from server.publish.publisher import Publisher, Sending, Step
from server.storage.due_work import Work
from server.storage.session import Session
from tests.storms.publish_worker import FORKS, posts_of

# Nothing that a send is made of: how a connection begins.
QUIET = ("PREPARE", "SET", "SELECT pid")
TURNS = 500


class Moments:
    """What happens in a send, in order, each moment with a name of its own, and the death at one of them."""

    def __init__(self, deadly: str = "", seconds: float = 0.0, countdown: int = 0) -> None:
        """Dies at the moment `deadly`; at one `in` a call, so many seconds after it has begun, and at its end
        at the latest. Or dies at the moment with this number."""
        self.passed: list[str] = []
        self._deadly = deadly
        self._last = ""
        self._seconds = seconds
        self._countdown = countdown
        self._times: Counter[str] = Counter()

    def pass_by(self, name: str) -> None:
        """Here is a moment."""
        self._times[name] += 1
        moment = name if self._times[name] == 1 else f"{name} ({self._times[name]})"
        self.passed.append(moment)
        if name == self._last or len(self.passed) == self._countdown:
            die()
        if moment == self._deadly:
            if name.startswith("in "):
                self._last = name.replace("in ", "after ", 1)
                Thread(target=self._die_later, daemon=True).start()
            else:
                die()

    def _die_later(self) -> None:
        time.sleep(self._seconds)
        die()


def die() -> None:
    """As by kill -9."""
    os.kill(os.getpid(), signal.SIGKILL)


def watched(moments: Moments) -> None:
    """From now on all statements of this process, and all calls of publishers, are moments."""
    run = Session.run

    def statement(self: Session, sql: str, arguments: Any = ()) -> Any:
        if not sql.startswith(QUIET):
            moments.pass_by(f"before {_name(sql)}")
        return run(self, sql, arguments)

    Session.run = statement  # type: ignore[method-assign]
    for publisher in (Publisher, *_publishers(Publisher)):
        for method in ("plan", "run", "settle"):
            if method in vars(publisher):
                setattr(publisher, method, _watched(moments, method, getattr(publisher, method)))


def _publishers(kind: type[Publisher]) -> Iterator[type[Publisher]]:
    for publisher in kind.__subclasses__():
        yield publisher
        yield from _publishers(publisher)


def _watched(moments: Moments, method: str, called: Callable[..., Any]) -> Callable[..., Any]:
    def call(self: Publisher, step: Step, sending: Sending) -> Any:
        what = f"{method} {sending.index}/{step.name}"
        moments.pass_by(f"before {what}")
        if method != "plan":
            moments.pass_by(f"in {what}")
        result = called(self, step, sending)
        moments.pass_by(f"after {what}")
        return result

    return call


def _name(sql: str) -> str:
    """A statement's own name, without the hash of its text; or its first word."""
    if sql.startswith('EXECUTE "'):
        return sql.removeprefix('EXECUTE "').partition('"')[0].rpartition("_")[0]
    return sql.partition(" ")[0]


def work_off(work: Work) -> None:
    """All that is due now."""
    for _ in range(TURNS):
        if not work.turn(f"storm/{os.getpid()}", lambda: None, Event()):
            return


def mother(settings: Settings, orders: Connection) -> None:
    """Forks a worker for each order, which has the moments to die at, and says what has become of it: the
    moments that it has passed, None if it died."""
    logging.disable()
    work = posts_of(build(settings))
    while (order := orders.recv()) is not None:
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            _child(work, order, writing)
        os.close(writing)
        with os.fdopen(reading) as said:
            passed = said.read().splitlines()
        _, status = os.waitpid(child, 0)
        orders.send(None if os.WIFSIGNALED(status) else passed)


def _child(work: Work, order: Mapping[str, Any], writing: int) -> None:
    moments = Moments(**order)
    watched(moments)
    work_off(work)
    with os.fdopen(writing, "w") as said:
        said.write("\n".join(moments.passed))
    os._exit(0)


class Workers:
    """Workers that do what is due, one after the other."""

    def __init__(self, orders: Connection) -> None:
        self._orders = orders

    def work(self, **order: Any) -> list[str] | None:
        """One does all that is due now, unless it dies as Moments are told; what it has passed, None if it
        died."""
        self._orders.send(order)
        passed: list[str] | None = self._orders.recv()
        return passed


@contextmanager
def workers(settings: Settings) -> Iterator[Workers]:
    """Until the end of the block."""
    ours, theirs = FORKS.Pipe()
    process = FORKS.Process(target=mother, args=(settings, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        yield Workers(ours)
    finally:
        process.kill()
        process.join(20)
