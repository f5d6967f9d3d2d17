"""Forgetting what has expired: each kind for itself, and in batches that a statement has time for."""

import logging
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from threading import Event
from typing import Any

import peewee
from peewee import SQL, fn

from server.errors import HitchpostError
from server.identity import Clock
from server.statements import Statement, param

log = logging.getLogger(__name__)

BATCH = 1000


class Purge:
    """Deletes the rows of a table whose `column` is longer ago than `kept`."""

    def __init__(self, column: peewee.Field, kept: timedelta) -> None:
        self.table: type[peewee.Model] = column.model
        self.kept = kept
        ctid = SQL("ctid")
        # Several workers may do this at once.
        old = self.table.select(ctid).where(column < param("before")).limit(BATCH)
        batch = fn.ARRAY(old.for_update("FOR UPDATE SKIP LOCKED"))
        self._delete = Statement(
            self.table.delete().where(ctid == fn.ANY(batch)).returning(SQL("1")), tuple[Any, ...]
        )

    def run(self, now: datetime, seconds: float, stop: Event) -> None:
        """Deletes batch by batch, until nothing is left, the time is over, or `stop` is set."""
        end = time.monotonic() + seconds
        while len(self._delete.all(before=now - self.kept)) == BATCH:
            if stop.is_set() or time.monotonic() >= end:
                return


def run_all(purges: Sequence[Purge], clock: Clock, seconds: float, stop: Event) -> None:
    """Runs each for its share of the time. One that fails is logged, and keeps no other from running."""
    for purge in purges:
        table = purge.table.__name__
        try:
            purge.run(clock(), seconds / len(purges), stop)
        except HitchpostError as error:
            log.warning("will clean up later", extra={"table": table, "cause": str(error)})
        except Exception:
            log.exception("can't clean up", extra={"table": table})
