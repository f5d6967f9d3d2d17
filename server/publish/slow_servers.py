"""Servers that let us wait: a worker's threads never all wait for the same, so that others are sent to."""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

# A send that takes longer waits for its platform, and not for this machine.
SLOW_SECONDS = 5.0


class SlowServers:
    """The sends of this process that are under way, by server; `most` of them may be slow."""

    def __init__(self, most: int, slow_seconds: float = SLOW_SECONDS) -> None:
        self._most = most
        self._slow_seconds = slow_seconds
        self._begun: defaultdict[str, list[float]] = defaultdict(list)
        self._lock = Lock()

    def has_room(self, server: str) -> bool:
        """Whether one more may wait for it."""
        slow_since = time.monotonic() - self._slow_seconds
        with self._lock:
            return sum(begun <= slow_since for begun in self._begun.get(server, ())) < self._most

    @contextmanager
    def sending_to(self, server: str) -> Iterator[None]:
        """Inside, a send to it is under way."""
        begun = time.monotonic()
        with self._lock:
            self._begun[server].append(begun)
        try:
            yield
        finally:
            with self._lock:
                self._begun[server].remove(begun)
                if not self._begun[server]:
                    del self._begun[server]
