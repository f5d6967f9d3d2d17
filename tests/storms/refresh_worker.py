"""Processes that refresh tokens, each forked from one that has imported all of this, so that there can be
many; and they die where they are told to."""

import logging
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from multiprocessing.synchronize import Barrier
from threading import BrokenBarrierError, Event
from typing import Any

from server.accounts.refresh_records import KIND
from server.accounts.refreshes import Refresher
from server.base.identity import utc_now
from server.base.vault import Vault
from server.platforms import Platforms, load
from server.projects.platform_apps import PlatformApps
from server.storage.database import database
from server.storage.due_work import Handling

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload([__name__])
BARRIER_SECONDS = 60.0
LEFT = """
    SELECT 1 FROM social_account_token
    WHERE due_time < now() + interval '1 min' OR (lease_time IS NOT NULL AND due_time < 'infinity') LIMIT 1"""


def refresher(url: str, platform_url: str, key: str) -> tuple[Refresher, Platforms]:
    """What a worker has: the database at `url`, and the platform in the sandbox's place."""
    logging.disable()
    database.configure(url, timedelta(seconds=20))
    vault, platforms = Vault(key), load(platform_url)
    return Refresher(utc_now, vault, platforms, PlatformApps(vault)), platforms


def die() -> None:
    """As by kill -9."""
    os.kill(os.getpid(), signal.SIGKILL)


def work_once(url: str, platform_url: str, key: str, step: str) -> None:
    """Refreshes what is due, and dies at this step of the first refresh."""
    refreshing, platforms = refresher(url, platform_url, key)
    way = platforms.named("sandbox", "sandbox")
    asked = way.refresh  # type: ignore[union-attr]

    def refresh(*arguments: Any) -> Any:
        if step == "before the request":
            die()
        tokens = asked(*arguments)
        if step == "after the answer":
            die()
        return tokens

    way.refresh = refresh  # type: ignore[method-assign, union-attr]
    _drain(refreshing)
    if step == "after the write":
        die()


def race(url: str, platform_url: str, key: str, rounds: int, begin: Barrier, end: Barrier) -> None:
    """Refreshes what is due, as often as `begin` opens, at the same time as all others."""
    refreshing, _ = refresher(url, platform_url, key)
    database.fetch("SELECT 1")
    with suppress(BrokenBarrierError):
        for _ in range(rounds):
            begin.wait(BARRIER_SECONDS)
            _drain(refreshing)
            end.wait(BARRIER_SECONDS)


def _drain(refreshing: Refresher) -> None:
    """Until nothing is due, nor leased by anybody."""
    work: Callable[..., bool] = Handling(KIND, refreshing.refresh).turn
    for _ in range(5000):
        if not work(f"storm/{os.getpid()}", lambda: None, Event()):
            if not database.fetch(LEFT):
                return
            time.sleep(0.02)
