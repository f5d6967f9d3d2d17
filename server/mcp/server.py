"""What a client of the Model Context Protocol is told, and what serves its calls: to the layers around a call
this is one more wire, as REST is.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import anyio
import grpc
import orjson
from anyio import to_thread
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    INVALID_REQUEST,
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
)

from server.base.errors import Internal
from server.base.version import VERSION
from server.mcp.tools import METHODS, TOOLS
from server.rpc.call import Call, Method, StreamingMethod
from server.rpc.lanes import Lane
from server.rpc.layers import ended
from server.rpc.registry import Rpc
from server.web import transcoding
from server.web.calls import Admit, Waiting, admitted, begun
from server.web.problems import facts

INSTRUCTIONS = (
    "Hitchpost connects social accounts and keeps posts for them, both under external_id, which is your own "
    "identifier of a user, team, workspace or campaign. Errors have a reason; a profile that belongs to "
    "another owner (ERROR_REASON_OWNED_BY_ANOTHER) can't be connected, and trying again does not help."
)

Context = ServerRequestContext[Any, Any]


class Tools:
    """The methods as a server of the protocol."""

    def __init__(
        self,
        methods: Mapping[str, Method | StreamingMethod],
        lanes: Mapping[str, Lane],
        admit: Admit,
        new_call: Callable[[Any], Call],
    ) -> None:
        """`methods` by their paths, `lanes` by their names; `admit` says who may see tools; `new_call` makes
        a call of what brought it, which is None where that is not HTTP."""
        self._methods = methods
        self._lanes = lanes
        self._admit = admit
        self._new_call = new_call
        # Large arguments take a while, in which nobody else is to wait.
        self._reading = anyio.CapacityLimiter(1)

    def server(self) -> Server[Any]:
        """It keeps nothing of a client, so one serves all."""
        return Server(
            "hitchpost",
            version=VERSION,
            title="Hitchpost",
            instructions=INSTRUCTIONS,
            get_tool_input_schema=lambda name: TOOLS[name].input_schema if name in TOOLS else None,
            on_list_tools=self._list,
            on_call_tool=self._serve,
        )

    async def _list(self, context: Context, _: PaginatedRequestParams | None) -> ListToolsResult:
        """Those that the caller's key may call."""
        call = self._new_call(context.request)
        await admitted(self._admit, call)
        ended("mcp/tools", call)
        if call.caller is None:
            raise MCPError(INVALID_REQUEST, call.details, _problem(call))
        caller = call.caller
        return ListToolsResult(
            tools=[
                TOOLS[name]
                for name, rpc in METHODS.items()
                if rpc.admin == caller.admin and not (caller.read_only and rpc.writes)
            ]
        )

    async def _serve(self, context: Context, params: CallToolRequestParams) -> CallToolResult:
        rpc = METHODS.get(params.name)
        if rpc is None:
            raise MCPError(INVALID_PARAMS, "There is no such tool; tools/list has them all.")
        method, call = self._methods[rpc.path], self._new_call(context.request)
        client = Waiting(partial(_read_answer, rpc))
        read = partial(self._request, rpc, params.arguments or {})
        if await begun(method, self._lanes[method.lane], call, read, client):
            call = await client.ended()
        if call.code is not grpc.StatusCode.OK or client.answer is None:
            problem = _problem(call)
            return _result(problem, orjson.dumps(problem).decode(), failed=True)
        return _result(*client.answer)

    async def _request(self, rpc: Rpc, arguments: transcoding.Json) -> bytes:
        """Raises InvalidArgument."""
        return await to_thread.run_sync(_read_request, rpc, arguments, limiter=self._reading)


def _read_request(rpc: Rpc, arguments: transcoding.Json) -> bytes:
    return transcoding.parsed(rpc.descriptor.input_type, arguments).SerializeToString()


def _read_answer(rpc: Rpc, answer: bytes) -> tuple[transcoding.Json, str]:
    message: Message = GetMessageClass(rpc.descriptor.output_type).FromString(answer)
    described = transcoding.as_json(message)
    return described, orjson.dumps(described).decode()


def _problem(call: Call) -> transcoding.Json:
    error = call.error or Internal()
    problem = {**facts(error), "request_id": call.request_id}
    if error.retry_after is not None:
        problem["retry_after_seconds"] = error.retry_after.total_seconds()
    return problem


def _result(described: transcoding.Json, text: str, *, failed: bool = False) -> CallToolResult:
    content = [TextContent(type="text", text=text)]
    return CallToolResult(content=[*content], structured_content=described, is_error=failed)
