"""Recognises API keys: remembers those it has seen, and asks the database about others, one at a time.

Whoever sends keys that nobody made must not cost those who have one: malformed keys are refused at once,
unknown ones remembered like those that work, and all questions go through one thread, which takes its time
after a key that was unknown. A connection may ask about a few keys at once, so that it can't fill the queue.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import NamedTuple

from server.base import errors
from server.base.identity import Caller
from server.base.vault import fingerprint
from server.projects import api_keys, projects

log = logging.getLogger(__name__)

# For so long a key is remembered; one that is in use is looked at anew each half of it. A key that is
# revoked works no longer than this on a worker that has just seen it.
REMEMBER_SECONDS = 20.0
MAX_REMEMBERED = 10_000
MAX_QUESTIONS = 100
MAX_QUESTIONS_OF_A_CONNECTION = 8
# Taken after a key that turned out to be unknown.
PAUSE_SECONDS = 0.01

# Called with whose key it is, or with why that can't be said.
Then = Callable[[Caller | errors.HitchpostError], None]


class _Known(NamedTuple):
    caller: Caller | None
    until: float


@dataclass(slots=True)
class _Question:
    """A key that is being asked about, the connection that was the first to do so, and who wants to know."""

    hashed: bytes
    peer: bytes
    waiting: list[Then]


class KeyRing:
    """The keys that a process has seen. `find` is quick and safe to use from any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # Unknown keys can't drive out those that work.
        self._working: dict[bytes, _Known] = {}
        self._unknown: dict[bytes, _Known] = {}
        self._used: set[bytes] = set()
        self._queue: SimpleQueue[_Question | None] = SimpleQueue()
        self._asked: dict[bytes, _Question] = {}
        self._asked_by: Counter[bytes] = Counter()
        self._lock = Lock()
        self._thread = Thread(target=self._run, name="keys", daemon=True)

    def start(self) -> None:
        """Begins to answer questions."""
        self._thread.start()

    def stop(self) -> None:
        """Lets the thread end, once it has answered what was asked before."""
        self._queue.put(None)

    def find(self, key: str) -> Caller | None:
        """Whose key it is; None when the database has to be asked.

        Raises ApiKeyInvalid for one that is malformed, unknown or revoked.
        """
        caller = self._find(fingerprint(key))
        if caller is None and not api_keys.is_well_formed(key):
            raise errors.ApiKeyInvalid
        return caller

    def ask(self, key: str, peer: bytes, then: Then) -> None:
        """Asks the database whose key it is, and tells `then` on another thread.

        Raises Overloaded when too many keys are asked about, in all or by this connection.
        """
        hashed = fingerprint(key)
        with self._lock:
            question = self._asked.get(hashed)
            if question is not None:
                question.waiting.append(then)
                return
            if len(self._asked) >= MAX_QUESTIONS or self._asked_by[peer] >= MAX_QUESTIONS_OF_A_CONNECTION:
                raise errors.Overloaded
            self._asked[hashed] = question = _Question(hashed, peer, [then])
            self._asked_by[peer] += 1
        self._queue.put(question)

    def _find(self, hashed: bytes) -> Caller | None:
        known = self._working.get(hashed) or self._unknown.get(hashed)
        if known is None or known.until < self._clock():
            return None
        if known.caller is None:
            raise errors.ApiKeyInvalid
        self._used.add(hashed)
        return known.caller

    def _run(self) -> None:
        verify = self._clock() + REMEMBER_SECONDS / 2
        while True:
            with suppress(Empty):
                question = self._queue.get(timeout=max(0.0, verify - self._clock()))
                if question is None:
                    return
                self._answer_one(question)
            if self._clock() >= verify:
                self._verify()
                verify = self._clock() + REMEMBER_SECONDS / 2

    def _answer_one(self, question: _Question) -> None:
        answer = self._caller_or_error(question.hashed)
        with self._lock:
            # From now on `find` knows, or whoever comes has to ask again.
            del self._asked[question.hashed]
            self._asked_by[question.peer] -= 1
            if not self._asked_by[question.peer]:
                del self._asked_by[question.peer]
        for then in question.waiting:
            then(answer)

    def _caller_or_error(self, hashed: bytes) -> Caller | errors.HitchpostError:
        try:
            # Another call may have asked the same just before.
            return self._find(hashed) or self._look_up(hashed)
        except errors.HitchpostError as error:
            return error
        except Exception:
            log.exception("unexpected error while a key was looked up")
            return errors.Internal()

    def _look_up(self, hashed: bytes) -> Caller:
        caller = projects.callers([hashed]).get(hashed)
        self._remember(hashed, caller)
        if caller is None:
            time.sleep(PAUSE_SECONDS)
            raise errors.ApiKeyInvalid
        return caller

    def _verify(self) -> None:
        """Looks at all keys anew that are in use, so that nobody who works has to wait for that."""
        used, self._used = self._used, set()
        for kind in (self._working, self._unknown):
            for hashed in [hashed for hashed, known in kind.items() if known.until < self._clock()]:
                del kind[hashed]
        try:
            # The other threads may still be adding to the set that they have found.
            found = projects.callers(hashes := list(used))
        except errors.HitchpostError as error:
            log.warning("will look at the keys in use later", extra={"cause": str(error)})
        else:
            for hashed in hashes:
                self._remember(hashed, found.get(hashed))

    def _remember(self, hashed: bytes, caller: Caller | None) -> None:
        kind = self._unknown if caller is None else self._working
        self._working.pop(hashed, None)
        while len(kind) >= MAX_REMEMBERED:
            del kind[next(iter(kind))]
        kind[hashed] = _Known(caller, self._clock() + REMEMBER_SECONDS)
