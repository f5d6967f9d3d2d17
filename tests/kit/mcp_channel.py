"""The contract's methods as tools, as a channel: tests that call by gRPC can call by MCP instead.

It speaks the protocol by itself, without the SDK that the server is made of.
"""

from typing import Any

import grpc
import httpx2
from google.protobuf.json_format import MessageToDict, ParseDict

from server.mcp.tools import name
from server.rpc.registry import RPCS
from tests.kit.rest import HttpAnswer, HttpError, Metadata, headers_of, trailers

PROTOCOL = (("Accept", "application/json, text/event-stream"), ("MCP-Protocol-Version", "2025-06-18"))


class McpChannel:
    """What of grpc.Channel the tests use."""

    def __init__(self, url: str) -> None:
        self._http = httpx2.Client(base_url=url, trust_env=False, timeout=30)

    def unary_unary(self, path: str, **_: Any) -> "ToolMethod":
        return ToolMethod(self._http, path)

    def close(self) -> None:
        self._http.close()


class ToolError(grpc.RpcError):
    """A problem that a tool had, as the error that gRPC would have raised."""

    def __init__(self, problem: dict[str, Any]) -> None:
        self.problem = problem

    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode[self.problem["code"]]

    def details(self) -> str:
        return str(self.problem["detail"])

    def trailing_metadata(self) -> Metadata:
        retry = "retry_after_seconds" in self.problem
        return trailers(self.problem, self.problem["request_id"], retry=retry)


class ToolMethod:
    """One method: it takes a request's bytes and gives the answer's."""

    def __init__(self, http: httpx2.Client, path: str) -> None:
        self._http = http
        self._rpc = RPCS[path]

    def __call__(self, raw: bytes, metadata: Metadata = (), timeout: float | None = None) -> bytes:
        return self.with_call(raw, metadata, timeout)[0]

    def with_call(
        self, raw: bytes, metadata: Metadata = (), timeout: float | None = None
    ) -> tuple[bytes, HttpAnswer]:
        descriptor = self._rpc.descriptor
        request = descriptor.input_type._concrete_class.FromString(raw)
        arguments = MessageToDict(request, preserving_proto_field_name=True)
        message = {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "tools/call",
            "params": {"name": name(self._rpc), "arguments": arguments},
        }
        headers = [*PROTOCOL, *headers_of(metadata)]
        response = self._http.post("/mcp", json=message, headers=headers, timeout=timeout)
        if response.status_code != 200:
            raise HttpError(response)
        result = response.json()["result"]
        if result["isError"]:
            raise ToolError(result["structuredContent"])
        answer = ParseDict(result["structuredContent"], descriptor.output_type._concrete_class())
        return answer.SerializeToString(), HttpAnswer(response)
