"""A stand-in for the sandbox's API, in a process of its own: python -m tests.storms.publish_platform.

It publishes nothing, but counts: every post that it accepts, with its time, the account and the text. It is
quick, takes as long as it is told to, and does what platforms do that nobody wants them to.
"""

import asyncio
import json
import random
import subprocess
import sys
import time
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from tests.kit.servers import REPOSITORY, environment

# Of requests that wait to be looked at.
BACKLOG = 1000
PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(2000)
NUMBERS = ("media", "dropped", "limited", "refused")


class Accepted(NamedTuple):
    """A post: the account that sent it, its text, the key that came with it, and when, by the clock."""

    account: str
    text: str
    key: str
    time: float


@dataclass
class Behaviour:
    """What it does from now on. A post takes so many `seconds`. Of connections, such a part is `dropped`
    after the post was accepted; of requests, such a part is `limited`, by 429 and to be repeated after
    `retry_after` seconds; and so many posts from now on are `refused` for what they say."""

    seconds: float = 0.0
    dropped: float = 0.0
    limited: float = 0.0
    retry_after: int = 1
    refused: int = 0


@dataclass
class Counted:
    """What has come until now."""

    accepted: list[Accepted] = field(default_factory=list)
    media: int = 0
    dropped: int = 0
    limited: int = 0
    refused: int = 0
    behaviour: Behaviour = field(default_factory=Behaviour)
    chance: random.Random = field(default_factory=lambda: random.Random(5))


class Connection(asyncio.Protocol):
    """A client's connection: one request after the other."""

    def __init__(self, counted: Counted) -> None:
        self._counted = counted
        self._received = b""
        self._working = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._working:
            self._next()

    def _next(self) -> None:
        """Begins with the next request, if all of it is there; its client may be gone by the time it ends."""
        head, separator, rest = self._received.partition(b"\r\n\r\n")
        if not separator:
            return
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if headers.get("transfer-encoding") == "chunked":
            whole, rest = _unchunked(rest)
            if whole is None:
                return
        else:
            length = int(headers.get("content-length", "0"))
            if len(rest) < length:
                return
            whole, rest = rest[:length], rest[length:]
        self._received, self._working = rest, True
        method, path, _ = first.split(" ")
        task = asyncio.get_running_loop().create_task(self._answer(method, path, headers, whole))
        TASKS.add(task)
        task.add_done_callback(TASKS.discard)

    async def _answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> None:
        said = await self._said(f"{method} {path}", headers, body)
        if said is None:
            # As by a proxy that dies: the client never learns.
            self._transport.abort()
            return
        status, more, content = said
        answer = content if isinstance(content, bytes) else orjson.dumps(content)
        lines = [f"HTTP/1.1 {status} Said", f"Content-Length: {len(answer)}"]
        lines += [] if isinstance(content, bytes) else ["Content-Type: application/json"]
        self._transport.write("\r\n".join([*lines, *more, "", ""]).encode() + answer)
        self._working = False
        self._next()

    async def _said(
        self, what: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, list[str], Any] | None:
        counted, behaviour = self._counted, self._counted.behaviour
        match what:
            case "POST /sandbox/posts":
                return await self._post(headers, orjson.loads(body))
            case "GET /picture.png":
                return 200, [], PICTURE
            case "POST /sandbox/media":
                counted.media += 1
                return 201, [], {"id": f"sbx_m_{counted.media}"}
            case "GET /stand-in/number":
                return 200, [], len(counted.accepted)
            case "GET /stand-in/counted":
                numbers = {
                    name: getattr(counted, name) for name in ("media", "dropped", "limited", "refused")
                }
                return 200, [], {**numbers, "accepted": [list(one) for one in counted.accepted]}
            case "POST /stand-in/behaviour":
                for name, value in orjson.loads(body).items():
                    setattr(behaviour, name, value)
                return 200, [], {}
            case "POST /stand-in/forget":
                counted.accepted.clear()
                return 200, [], {}
        return 404, [], {"error": "not_found"}

    async def _post(self, headers: dict[str, str], post: dict[str, Any]) -> tuple[int, list[str], Any] | None:
        counted, behaviour, chance = self._counted, self._counted.behaviour, self._counted.chance
        if chance.random() < behaviour.limited:
            counted.limited += 1
            return 429, [f"Retry-After: {behaviour.retry_after}"], {"error": "rate_limited"}
        if behaviour.refused > 0:
            behaviour.refused -= 1
            counted.refused += 1
            return 422, [], {"error": "text_refused"}
        await asyncio.sleep(behaviour.seconds)
        account = headers.get("authorization", "").removeprefix("Bearer ")
        key = headers.get("idempotency-key", "")
        counted.accepted.append(Accepted(account, post.get("text", ""), key, time.time()))
        id_ = f"sbx_p_{len(counted.accepted)}"
        if chance.random() < behaviour.dropped:
            counted.dropped += 1
            return None
        return 201, [], {"id": id_, "url": f"http://sandbox.example/sandbox/posts/{id_}"}


TASKS: set[asyncio.Task[None]] = set()


def _unchunked(body: bytes) -> tuple[bytes | None, bytes]:
    """A chunked body and what comes after it; None while it is not all there."""
    whole = b""
    for _ in range(1_000_000):
        size, separator, body = body.partition(b"\r\n")
        if not separator or len(body) < int(size, 16) + 2:
            return None, b""
        whole, body = whole + body[: int(size, 16)], body[int(size, 16) + 2 :]
        if int(size, 16) == 0:
            return whole, body
    return None, b""


async def _serve() -> None:
    counted = Counted()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(counted), "127.0.0.1", 0, backlog=BACKLOG)
    print(server.sockets[0].getsockname()[1], flush=True)
    # Its stdin is a lifeline.
    await loop.run_in_executor(None, sys.stdin.read)


class PublishPlatform:
    """The stand-in as a test sees it, at `url`; `pid` is its process."""

    def __init__(self, port: int, pid: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.pid = pid

    def behaves(self, **behaviour: float) -> None:
        """From now on; see Behaviour. What is not named stays."""
        self._ask("/stand-in/behaviour", behaviour)

    def forget(self) -> None:
        """Begins to count anew."""
        self._ask("/stand-in/forget", {})

    def counted(self) -> dict[str, Any]:
        """All that it has counted; `accepted` in the order in which they came."""
        counted: dict[str, Any] = self._ask("/stand-in/counted")
        return {**counted, "accepted": [Accepted(*one) for one in counted["accepted"]]}

    def number(self) -> int:
        """How many posts it has accepted."""
        return int(self._ask("/stand-in/number"))

    def accepted(self) -> list[Accepted]:
        """The posts, in the order in which they came."""
        found: list[Accepted] = self.counted()["accepted"]
        return found

    def _ask(self, path: str, said: Any = None) -> Any:
        body = None if said is None else json.dumps(said).encode()
        with urllib.request.urlopen(urllib.request.Request(self.url + path, body), timeout=60) as answer:
            return orjson.loads(answer.read())


def times(accepted: list[Accepted]) -> Counter[str]:
    """How often each text was accepted."""
    return Counter(one.text for one in accepted)


def in_order(accepted: list[Accepted]) -> dict[str, list[str]]:
    """The texts that each account has posted, in order."""
    found: dict[str, list[str]] = defaultdict(list)
    for one in accepted:
        found[one.account].append(one.text)
    return found


@contextmanager
def publish_platform() -> Iterator[PublishPlatform]:
    """The stand-in, in a process of its own, until the end of the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", __name__],
        cwd=REPOSITORY,
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        yield PublishPlatform(int(process.stdout.readline()), process.pid)
    finally:
        process.kill()
        process.communicate(timeout=20)


if __name__ == "__main__":
    asyncio.run(_serve())
