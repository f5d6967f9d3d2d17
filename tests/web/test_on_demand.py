"""What few ask for is made when somebody does, once, and nobody waits for ever when it can't be made."""

import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from server.base import errors
from server.web.on_demand import OnDemand
from tests.kit.servers import REPOSITORY


class Counting:
    """An application that counts its blocks and its requests."""

    def __init__(self, seen: list[str]) -> None:
        self._seen = seen
        seen.append("made")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        self._seen.append("began")
        yield
        self._seen.append("ended")

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self._seen.append("asked")


async def ask(application: OnDemand, times: int) -> None:
    async with application.running(), anyio.create_task_group() as requests:
        for _ in range(times):
            requests.start_soon(application, {}, None, None)


def test_it_is_made_once_for_all_who_ask() -> None:
    seen: list[str] = []
    anyio.run(ask, OnDemand(lambda: Counting(seen)), 3)
    assert seen[:2] == ["made", "began"]
    assert seen.count("asked") == 3


def test_it_is_not_made_for_nobody() -> None:
    seen: list[str] = []
    anyio.run(ask, OnDemand(lambda: Counting(seen)), 0)
    assert seen == []


def test_who_asks_for_what_can_not_be_made_is_told(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> Counting:
        raise ImportError("no such module")

    with pytest.raises(ExceptionGroup) as raised:
        anyio.run(ask, OnDemand(broken), 2)
    assert raised.group_contains(errors.Internal)
    assert "could not be made" in caplog.text


def test_a_web_process_starts_without_the_sdk_of_mcp() -> None:
    program = "import sys, server.run.web; print('mcp' in sys.modules, 'server.mcp' in sys.modules)"
    ran = subprocess.run(
        [sys.executable, "-c", program],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert ran.stdout.split() == ["False", "False"]
