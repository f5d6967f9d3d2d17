"""Clients of the Model Context Protocol, by its official SDK, for tests that are not async themselves."""

import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Literal, NamedTuple, TypeVar

import anyio
import httpx2
import mcp
from mcp.client.streamable_http import streamable_http_client
from mcp_types import Tool

from tests.conftest import Running
from tests.kit.servers import REPOSITORY, environment
from tests.kit.support import recorder

Mode = Literal["auto", "legacy"]
T = TypeVar("T")


class Outcome(NamedTuple):
    """How a call of a tool ended: its answer, or the problem."""

    failed: bool
    said: dict[str, Any]

    @property
    def reason(self) -> str:
        assert self.failed, self.said
        return str(self.said["reason"]).removeprefix("ERROR_REASON_")

    @property
    def answer(self) -> dict[str, Any]:
        assert not self.failed, self.said
        return self.said


class Session:
    """A connected client."""

    def __init__(self, client: mcp.Client) -> None:
        self.client = client

    async def tools(self) -> dict[str, Tool]:
        return {tool.name: tool for tool in (await self.client.list_tools()).tools}

    async def call(self, tool: str, **arguments: Any) -> Outcome:
        result = await self.client.call_tool(tool, arguments)
        [content] = result.content
        assert content.type == "text"
        recorder.add(content.text)
        # The same twice: for programs, and for models.
        assert json.loads(content.text) == result.structured_content
        return Outcome(result.is_error, result.structured_content)


Scene = Callable[[Session], Awaitable[T]]


class Door:
    """A way in: over HTTP, or by a process of its own."""

    def __init__(self, server: Callable[[], Any]) -> None:
        self._server = server

    def play(self, scene: Scene[T], mode: Mode = "auto") -> T:
        """Connects, and plays the scene within 30 seconds."""

        async def within() -> T:
            with anyio.fail_after(30):
                async with mcp.Client(self._server(), mode=mode) as client:
                    return await scene(Session(client))

        return anyio.run(within)

    def call(self, tool: str, **arguments: Any) -> Outcome:
        """One call, with a connection of its own."""

        async def scene(session: Session) -> Outcome:
            return await session.call(tool, **arguments)

        return self.play(scene)

    def tools(self, mode: Mode = "auto") -> dict[str, Tool]:
        return self.play(Session.tools, mode)


def over_http(web_url: str, key: str | None, owner: str | None = None) -> Door:
    """/mcp of a web process."""
    headers = {"Authorization": f"Bearer {key}".encode()} if key else {}
    headers |= {"X-External-Id": owner.encode()} if owner else {}

    @asynccontextmanager
    async def transport() -> AsyncIterator[Any]:
        async with (
            httpx2.AsyncClient(headers=headers, trust_env=False, timeout=30) as http,
            streamable_http_client(f"{web_url}/mcp", http_client=http) as streams,
        ):
            yield streams

    return Door(transport)


def over_stdio(running: Running, key: str, owner: str | None = None) -> Door:
    """`hitchpost mcp` beside the in-process server, whose database it uses."""
    return Door(
        lambda: mcp.StdioServerParameters(
            command=sys.executable,
            args=["-m", "server", "mcp"],
            cwd=REPOSITORY,
            env=environment(**stdio_settings(running, key, owner)),
        )
    )


def stdio_settings(running: Running, key: str | None, owner: str | None = None) -> dict[str, str]:
    settings = running.settings
    assert settings.encryption_keys
    given = {"mcp_api_key": key, "mcp_external_id": owner}
    return {
        "database_url": running.database_url,
        "encryption_keys": settings.encryption_keys.get_secret_value(),
        "dev_mode": "true",
        "public_url": settings.public_url,
        "web_address": settings.web_address,
        "platforms_file": str(settings.platforms_file),
        "plc_url": settings.plc_url,
        "name_server": str(settings.name_server),
        **{name: value for name, value in given.items() if value is not None},
    }
