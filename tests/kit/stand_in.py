"""Stand-ins for platforms that no test can reach: a real HTTP server that plays what a fixture says.

A fixture, tests/platforms/fixtures/<row>.yaml, has what a row of platforms.toml asks, and what the platform
answers, in the shapes of its documentation. `{name}` in it stands for a value of one run; those that nobody
gives are secrets.
"""

import base64
import copy
import hashlib
import json
import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import yaml
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.kit.support import secret, unique
from tests.kit.web import serving

FOLDER = Path(__file__).parents[1] / "platforms" / "fixtures"
# Of HTTP itself, or the same in all requests: nothing that a platform's documentation asks for.
PLAIN_HEADERS = {"accept", "accept-encoding", "connection", "content-length", "host", "user-agent"}
PLACEHOLDER = re.compile(r"\{([a-z][a-z_0-9]*)\}")
Json = Any


class Verifier:
    """Equals the code verifier that belongs to a challenge (RFC 7636, 4.6)."""

    def __init__(self, challenge: str) -> None:
        self._challenge = challenge

    def __eq__(self, verifier: object) -> bool:
        digest = hashlib.sha256(str(verifier).encode()).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == self._challenge

    def __hash__(self) -> int:
        return hash(self._challenge)

    def __repr__(self) -> str:
        return f"the verifier of {self._challenge}"


class Values(dict[str, Any]):
    """What the placeholders of one run stand for."""

    def __init__(self, **given: Any) -> None:
        super().__init__(
            {"client_id": unique("client"), "client_secret": secret(), "code": secret(), **given}
        )
        pair = f"{self['client_id']}:{self['client_secret']}"
        self["basic"] = base64.b64encode(pair.encode()).decode()

    def __missing__(self, name: str) -> str:
        self[name] = secret()
        return str(self[name])

    def fill(self, said: Json) -> Json:
        """The same with every placeholder replaced; one that is all of a text may be no text."""
        if isinstance(said, dict):
            return {self.fill(key): self.fill(value) for key, value in said.items()}
        if isinstance(said, list):
            return [self.fill(value) for value in said]
        if not isinstance(said, str):
            return said
        if whole := PLACEHOLDER.fullmatch(said):
            return self[whole[1]]
        return PLACEHOLDER.sub(lambda found: str(self[found[1]]), said)


class Everywhere:
    """Plays every platform at one address, `url`: a server's name is the path's first segment."""

    url = ""

    def here(self, text: str) -> str:
        """The text with every server in it played by this one."""
        return text.replace("https://", f"{self.url}/")

    def rows(self) -> str:
        """platforms.toml, played by this one."""
        ours = resources.files("server.platforms").joinpath("platforms.toml").read_text(encoding="utf-8")
        return self.here(ours)


class StandIn(Everywhere):
    """A server that is asked what it expects, one request after the other, and answers as it is told."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._expected: list[Mapping[str, Json]] = []
        self._wrong: list[tuple[Json, Json]] = []

    @contextmanager
    def serving(self) -> Iterator["StandIn"]:
        """Runs it on a loopback port."""
        methods = ["GET", "POST", "PUT", "DELETE"]
        with serving(Starlette(routes=[Route("/{path:path}", self._answer, methods=methods)])) as url:
            self.url = url
            yield self

    @contextmanager
    def playing(self, exchanges: Iterable[Mapping[str, Json]]) -> Iterator[None]:
        """Inside, exactly these requests come, in this order; anything else fails the test."""
        with self._lock:
            self._expected, self._wrong = list(exchanges), []
        try:
            yield
        finally:
            with self._lock:
                wrong, missing = self._wrong, [exchange["request"] for exchange in self._expected]
            assert wrong == [], "asked for something else: (wanted, got)"
            assert missing == [], "never asked for"

    async def _answer(self, request: Request) -> Response:
        asked = await self._asked(request)
        with self._lock:
            exchange = self._expected.pop(0) if self._expected else {"request": None}
            if exchange["request"] != asked:
                self._wrong.append((exchange["request"], asked))
                return Response("not what the fixture says", 500)
        said = exchange["answer"]
        body = json.dumps(said["json"]) if "json" in said else said.get("text", "")
        return Response(body, said.get("status", 200), media_type="application/json")

    async def _asked(self, request: Request) -> Json:
        """A request as fixtures write it."""
        body = await request.body()
        headers = {name: value for name, value in request.headers.items() if name not in PLAIN_HEADERS}
        kind = headers.get("content-type", "")
        asked = {
            "method": request.method,
            "url": f"{self.url}{request.url.path}",
            "headers": headers,
            "query": once(parse_qsl(request.url.query, keep_blank_values=True, strict_parsing=True))
            if request.url.query
            else {},
        }
        if kind == "application/json":
            asked["json"] = json.loads(body)
        elif body:
            asked["form"] = once(parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=True))
        return asked


class Fixture:
    """What a fixture's file says, for one run: its steps by name, filled in."""

    def __init__(self, name: str, stand_in: StandIn, **given: Any) -> None:
        self.name = name
        self.said = load(name, stand_in)
        self.values = Values(**given)

    def again(self, **given: Any) -> "Fixture":
        """The same with other values in place of these."""
        other = copy.copy(self)
        other.values = Values(**{**self.values, **given})
        return other

    def __contains__(self, step: str) -> bool:
        return step in self.said

    def __getitem__(self, step: str) -> Json:
        return self.values.fill(self.said[step])

    def get(self, step: str, otherwise: Json) -> Json:
        """The step, if there is one."""
        return self.values.fill(self.said.get(step, otherwise))

    def exchanges(self, *steps: str) -> list[Json]:
        """The requests and answers of these steps, those that there are."""
        asked = [exchange for step in steps for exchange in self.get(step, [])]
        return [{**exchange, "request": request(exchange["request"])} for exchange in asked]


def request(said: Mapping[str, Json]) -> Json:
    """A request of a fixture with all that it leaves out."""
    return {"method": "GET", "headers": {}, "query": {}, **said}


def names() -> list[str]:
    """The fixtures that there are."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def load(name: str, stand_in: Everywhere | None = None) -> dict[str, Json]:
    """What a fixture's file says, of the stand-in if there is one."""
    text = (FOLDER / f"{name}.yaml").read_text(encoding="utf-8")
    said: dict[str, Json] = yaml.safe_load(stand_in.here(text) if stand_in else text)
    return said


def once(pairs: Iterable[tuple[str, str]]) -> dict[str, Json]:
    """Parameters by name; one that comes more than once has a list, which no fixture has."""
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}
