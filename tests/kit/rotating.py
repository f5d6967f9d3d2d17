"""A platform whose refresh tokens work once (RFC 9700): who shows one again ends what came of it."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.kit.support import secret
from tests.kit.web import serving

EXPIRES_IN = 7200


class Rotating:
    """Stands in the sandbox's place; its tokens are of families. Methods may be called from any thread.

    `answers` is told the refresh token, once it was spent, and may answer in the platform's place; what it
    returns None for is answered as usual.
    """

    def __init__(self) -> None:
        self.url = ""
        # The refresh tokens that were shown, in order.
        self.asked: list[str] = []
        self.revoked: list[str] = []
        self.answers: Callable[[str], Response | None] = lambda _token: None
        self._lock = Lock()
        self._families = itertools.count(1)
        # Tokens that live, and refresh tokens that were used, by family.
        self._access: dict[str, int] = {}
        self._refresh: dict[str, int] = {}
        self._spent: dict[str, int] = {}

    def connected(self) -> tuple[str, str]:
        """The tokens of somebody new: access, refresh."""
        with self._lock:
            return self._issued(next(self._families))

    def works(self, access_token: str) -> bool:
        """Whether it may be used."""
        with self._lock:
            return access_token in self._access

    def token(self, request: Request) -> Response:
        """POST /sandbox/token, with a refresh token."""
        shown = _form(request)["refresh_token"]
        with self._lock:
            self.asked.append(shown)
            family = self._refresh.pop(shown, None)
            if family is None:
                self._end(self._spent.get(shown))
            else:
                self._spent[shown] = family
                access, refresh = self._issued(family)
        other = self.answers(shown)
        if other is not None:
            return other
        if family is None:
            return JSONResponse({"error": "invalid_grant"}, 400)
        tokens = {"access_token": access, "refresh_token": refresh, "expires_in": EXPIRES_IN}
        return JSONResponse(tokens | {"token_type": "Bearer"})

    def revoke(self, request: Request) -> Response:
        """POST /sandbox/revoke."""
        self.revoked.append(_form(request)["token"])
        return JSONResponse({})

    def _issued(self, family: int) -> tuple[str, str]:
        access, refresh = secret(), secret()
        self._access = {token: of for token, of in self._access.items() if of != family} | {access: family}
        self._refresh[refresh] = family
        return access, refresh

    def _end(self, family: int | None) -> None:
        for tokens in (self._access, self._refresh):
            for token in [token for token, of in tokens.items() if of == family]:
                del tokens[token]


def _form(request: Request) -> dict[str, str]:
    return {name: str(value) for name, value in request.state.form.items()}


@contextmanager
def rotating() -> Iterator[Rotating]:
    """A platform of this kind, over real HTTP, until the end of the block."""
    platform = Rotating()

    def reading(answer: Callable[[Request], Response]) -> Callable[[Request], object]:
        """Reads the form in the loop, and answers in a thread: `answers` may wait."""

        async def endpoint(request: Request) -> Response:
            request.state.form = await request.form()
            return await run_in_threadpool(answer, request)

        return endpoint

    routes = [
        Route("/sandbox/token", reading(platform.token), methods=["POST"]),
        Route("/sandbox/revoke", reading(platform.revoke), methods=["POST"]),
    ]
    with serving(Starlette(routes=routes)) as platform.url:
        yield platform
