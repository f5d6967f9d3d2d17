"""What a worker tells of the work that waits, whoever will do it: looked at now and then, not when asked."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from server.base import metrics
from server.base.errors import HitchpostError, StatementTimeout
from server.publish import stuck
from server.storage import schema
from server.storage.database import database
from server.storage.due_work import Work

log = logging.getLogger(__name__)

LOOK_SECONDS = 10.0
# Counting costs what is due: where that is much, it is counted less often.
PART_OF_THE_TIME = 0.05


class Backlogs:
    """Looks that set gauges, each in its own time, on the thread that asks for them."""

    def __init__(self, kinds: Sequence[Work], every: float = LOOK_SECONDS) -> None:
        for work in kinds:
            metrics.expect_kind(work.name)
        self._every = every
        self._looks: Mapping[str, Callable[[], None]] = {
            "schema": _schema,
            "targets": _targets,
            **{f"due work, {work.name}": partial(_due, work) for work in kinds},
        }
        self._next = dict.fromkeys(self._looks, 0.0)

    def look(self) -> None:
        """Looks at what it is time for. Never raises; what can't be seen now stays as it was seen last."""
        metrics.database_connections.labels("worker").set(database.connections)
        try:
            database.require_primary()
            metrics.database_up.labels("worker").set(1)
            for name, look in self._looks.items():
                if time.monotonic() >= self._next[name]:
                    self._look(name, look)
        except HitchpostError:
            # The worker's threads say so in the log.
            metrics.database_up.labels("worker").set(0)
        except Exception:
            log.exception("unexpected error while metrics were gathered")

    def _look(self, name: str, look: Callable[[], None]) -> None:
        start = time.monotonic()
        try:
            look()
        except StatementTimeout as error:
            log.warning("can't count what waits", extra={"subject": name, "cause": error.for_operator})
        now = time.monotonic()
        self._next[name] = now + max(self._every, (now - start) / PART_OF_THE_TIME)


def _schema() -> None:
    metrics.schema_version.set(schema.version(database))


def _targets() -> None:
    sending, unconfirmed = stuck.look()
    metrics.targets_stuck.set(sending)
    metrics.targets_unconfirmed.set(unconfirmed)


def _due(work: Work) -> None:
    due, late, ran_out = work.backlog()
    metrics.due_work_due.labels(work.name).set(due)
    metrics.due_work_late.labels(work.name).set(late)
    metrics.due_work_ran_out.labels(work.name).set(ran_out)
