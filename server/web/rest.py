"""The methods over HTTP, below /v1: to the layers around a call this is one more wire.

Here is what HTTP itself has to say: paths, verbs, types of content, sizes. Keys, owners, checks and bounds
are those of rpc/layers.py and rpc/lanes.py.
"""

from collections.abc import Mapping, Sequence
from functools import partial

import anyio
import grpc
from anyio import to_thread
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from server.rpc.call import Method, StreamingMethod
from server.rpc.lanes import Lane
from server.web import http_headers, transcoding
from server.web.bodies import LARGE_BODY, Bodies
from server.web.calls import Waiting, begun
from server.web.event_stream import EventStream
from server.web.http_rules import Paths, Rule
from server.web.problems import bare_problem, failed
from server.web.transcoding import Incoming

Methods = Mapping[str, Method | StreamingMethod]


class Rest:
    """An ASGI application: every call that there is a rule for."""

    def __init__(
        self, rules: Sequence[Rule], methods: Methods, lanes: Mapping[str, Lane], bodies: Bodies
    ) -> None:
        """`methods` by their paths, `lanes` by their names; `bodies` bound those of all wires together."""
        self._paths = Paths(rules)
        self._methods = methods
        self._lanes = lanes
        self._bodies = bodies
        self._large = anyio.CapacityLimiter(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        request = Request(scope, receive)
        try:
            response = await self._answer(request)
        except HTTPException as refused:
            response = bare_problem(refused.status_code, refused.headers)
        except ClientDisconnect:
            return
        if "expect" in request.headers and response.status_code >= 400:
            # The client need not send its body now, and what comes next would be taken for it.
            response.headers["Connection"] = "close"
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        rule, values = self._find(request)
        if refusal := http_headers.refusal(request.headers, streams=rule.rpc.streams):
            raise HTTPException(refusal)
        method, call = self._methods[rule.rpc.path], http_headers.call(request, "rest")
        conditional = "if-match" in request.headers
        client = EventStream(rule) if rule.rpc.streams else _Waiting(rule, conditional=conditional)
        read = partial(self._message, rule, values, request)
        if not await begun(method, self._lanes[method.lane], call, read, client):
            return failed(call)
        return await client.response()

    def _find(self, request: Request) -> tuple[Rule, Sequence[str]]:
        place = self._paths.find(request.scope["raw_path"])
        if place is None:
            raise HTTPException(404)
        rule = place.rules.get("GET" if request.method == "HEAD" else request.method)
        if rule is None:
            verbs = {*place.rules, *(["HEAD"] if "GET" in place.rules else [])}
            raise HTTPException(405, headers={"Allow": ", ".join(sorted(verbs))})
        return rule, place.values

    async def _message(self, rule: Rule, values: Sequence[str], request: Request) -> bytes:
        """The method's request. Raises InvalidArgument."""
        query = request.scope["query_string"]
        async with self._bodies.of(request) as body:
            incoming = Incoming(values, query, body, **http_headers.fields(request.headers))
            if len(body) + len(query) <= LARGE_BODY:
                return transcoding.read(rule, incoming)
            return await to_thread.run_sync(transcoding.read, rule, incoming, limiter=self._large)


class _Waiting(Waiting[tuple[bytes, str]]):
    """The client of a call that has one answer: a body, and perhaps an etag."""

    def __init__(self, rule: Rule, *, conditional: bool) -> None:
        super().__init__(partial(transcoding.write, rule))
        self._conditional = conditional

    async def response(self) -> Response:
        """The answer, or why there is none."""
        call = await self.ended()
        if call.code is not grpc.StatusCode.OK or self.answer is None:
            return failed(call, conditional=self._conditional)
        body, etag = self.answer
        headers = {"X-Request-Id": call.request_id}
        if etag:
            headers["ETag"] = f'"{etag}"'
        return Response(body, headers=headers, media_type=http_headers.JSON)
