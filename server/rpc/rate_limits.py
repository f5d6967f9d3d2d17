"""How many calls a second each API key may make of a process.

Each key has a bucket of its own, in the memory of the process alone: `rate` tokens a second flow into it, it
holds `burst` of them, and a call takes one.
"""

import math
import time
from collections.abc import Callable
from datetime import timedelta
from threading import Lock

from server.base import errors

# As many keys as the process remembers. One that is forgotten has a full bucket when it comes again.
MAX_BUCKETS = 10_000


class RateLimits:
    """The buckets of all keys. Quick, and safe to use from any thread."""

    def __init__(self, rate: int, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        # How many tokens there were, and when.
        self._buckets: dict[str, tuple[float, float]] = {}
        self._lock = Lock()

    def take(self, key_id: str) -> None:
        """Takes a token for a call by this key. Raises RateLimited, with when there will be one."""
        with self._lock:
            now = self._clock()
            left, since = self._buckets.get(key_id) or self._new_bucket(now)
            left = min(self._burst, left + (now - since) * self._rate)
            allowed = left >= 1
            self._buckets[key_id] = (left - 1 if allowed else left, now)
        if not allowed:
            refused = errors.RateLimited(limit=str(self._rate))
            # Rounded up: a moment earlier there would be none.
            refused.retry_after = timedelta(milliseconds=math.ceil((1 - left) / self._rate * 1000))
            raise refused

    def _new_bucket(self, now: float) -> tuple[float, float]:
        while len(self._buckets) >= MAX_BUCKETS:
            del self._buckets[next(iter(self._buckets))]
        return self._burst, now
