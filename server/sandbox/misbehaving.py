"""Calls of the sandbox's API, which go as it was told that they go."""

from collections.abc import Awaitable, Callable
from datetime import datetime

import anyio
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from server.base.identity import Clock
from server.sandbox import behaviours
from server.sandbox.answers import HangUp, failure
from server.sandbox.behaviours import SLOW, Told
from server.web.threads import Threads

Action = Callable[[Request], Awaitable[Response]]


class Misbehaving:
    """Makes endpoints that misbehave. What they were told is asked in these threads."""

    def __init__(self, threads: Threads, clock: Clock) -> None:
        self._threads = threads
        self._clock = clock

    def run(self, call: str, action: Action) -> Action:
        """The endpoint; `call` is the kind of its calls."""

        async def answer(request: Request) -> Response:
            now = self._clock()
            applying = await self._threads.call(behaviours.applying, call, now)
            for told in applying:
                if told.behaviour is SLOW:
                    # Here, not in a thread: there are few.
                    await anyio.sleep(told.value["delay"])
                elif not told.behaviour.done:
                    return _answer(told, now)
            response = await action(request)
            done = response.status_code < 300 and applying and applying[-1].behaviour.done
            return _answer(applying[-1], now) if done else response

        return answer


def _answer(told: Told, now: datetime) -> Response:
    behaviour = told.behaviour
    if not behaviour.status:
        return HangUp()
    if not behaviour.error:
        return PlainTextResponse("Bad Gateway", behaviour.status)
    headers = {}
    if behaviour.status in (429, 503) and told.until_time is not None:
        headers["Retry-After"] = str(max(1, round((told.until_time - now).total_seconds())))
    return failure(behaviour.status, behaviour.error, behaviour.description, headers)
