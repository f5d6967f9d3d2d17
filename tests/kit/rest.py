"""The contract's methods over HTTP, as a channel: tests that call by gRPC can call by REST instead.

It reads the rules of protos/http.yaml by itself, and makes of each answer what gRPC would have said.
"""

import base64
import re
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import quote

import grpc
import httpx2
import yaml
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from server.rpc.registry import RPCS
from tests.kit.support import PROTOS

STATUS = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "ABORTED": 409,
    "RESOURCE_EXHAUSTED": 503,
    "DEADLINE_EXCEEDED": 503,
    "UNAVAILABLE": 503,
    "INTERNAL": 500,
}
RULES: dict[str, dict[str, str]] = {
    "/{}/{}".format(*rule["selector"].rsplit(".", 1)): rule
    for rule in yaml.safe_load((PROTOS / "http.yaml").read_text())["http"]["rules"]
}
Metadata = Sequence[tuple[str, str | bytes]]


class RestChannel:
    """What of grpc.Channel the tests use."""

    def __init__(self, url: str) -> None:
        self._http = httpx2.Client(base_url=url, trust_env=False, timeout=30)

    def unary_unary(self, path: str, **_: Any) -> "RestMethod":
        return RestMethod(self._http, path)

    def close(self) -> None:
        self._http.close()


class HttpAnswer:
    """What of grpc.Call the tests use."""

    def __init__(self, response: httpx2.Response) -> None:
        self.response = response

    def trailing_metadata(self) -> Metadata:
        return (("x-request-id", self.response.headers.get("x-request-id", "")),)


class HttpError(grpc.RpcError):
    """A problem as the error that gRPC would have raised."""

    def __init__(self, response: httpx2.Response) -> None:
        self.response = response
        assert response.headers["content-type"] == "application/problem+json", response.text
        self.problem = response.json()
        limited = self.problem["reason"] == "ERROR_REASON_RATE_LIMITED"
        wanted = 429 if limited else STATUS[self.problem["code"]]
        assert response.status_code == self.problem["status"] == wanted, response.text
        assert (response.status_code == 401) == ("www-authenticate" in response.headers)

    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode[self.problem["code"]]

    def details(self) -> str:
        return str(self.problem["detail"])

    def trailing_metadata(self) -> Metadata:
        headers = self.response.headers
        return trailers(self.problem, headers["x-request-id"], retry="retry-after" in headers)


def trailers(problem: dict[str, Any], request_id: str, *, retry: bool) -> Metadata:
    """What gRPC has behind an error."""
    status = status_pb2.Status(code=grpc.StatusCode[problem["code"]].value[0], message=problem["detail"])
    info = error_details_pb2.ErrorInfo(
        reason=problem["reason"], domain="hitchpost", metadata=problem["metadata"]
    )
    status.details.add().Pack(info)
    bad_request = error_details_pb2.BadRequest()
    for violation in problem.get("fields", ()):
        bad_request.field_violations.add(**violation)
    status.details.add().Pack(bad_request)
    if retry:
        status.details.add().Pack(error_details_pb2.RetryInfo())
    return (("x-request-id", request_id), ("grpc-status-details-bin", status.SerializeToString()))


class RestMethod:
    """One method: it takes a request's bytes and gives the answer's."""

    def __init__(self, http: httpx2.Client, path: str) -> None:
        self._http = http
        self._descriptor = RPCS[path].descriptor
        self._rule = RULES[path]

    def __call__(self, raw: bytes, metadata: Metadata = (), timeout: float | None = None) -> bytes:
        return self.with_call(raw, metadata, timeout)[0]

    def with_call(
        self, raw: bytes, metadata: Metadata = (), timeout: float | None = None
    ) -> tuple[bytes, HttpAnswer]:
        message = self._descriptor.input_type._concrete_class.FromString(raw)
        verb, path, query, body = transcoded(self._rule, message)
        response = self._http.request(
            verb, path, params=query, json=body, headers=list(headers_of(metadata)), timeout=timeout
        )
        if response.status_code != 200:
            raise HttpError(response)
        return self._answer(response), HttpAnswer(response)

    def _answer(self, response: httpx2.Response) -> bytes:
        assert response.headers["content-type"] == "application/json"
        described, field = response.json(), self._rule.get("response_body")
        if field and described.get("etag"):
            assert response.headers["etag"] == f'"{described["etag"]}"'
        answer = self._descriptor.output_type._concrete_class()
        return bytes(ParseDict({field: described} if field else described, answer).SerializeToString())


def transcoded(rule: dict[str, str], message: Message) -> tuple[str, str, list[tuple[str, str]], Any]:
    """Verb, path, query and body of a request."""
    described = MessageToDict(message, preserving_proto_field_name=True)
    [verb] = rule.keys() & {"get", "post", "patch", "delete"}
    path = re.sub(r"\{([a-z_.]+)\}", lambda match: quote(_taken(described, match[1]), safe=""), rule[verb])
    if rule.get("body") == "*":
        return verb.upper(), path, [], described
    body = described.pop(rule["body"], {}) if "body" in rule else None
    return verb.upper(), path, list(_parameters(described)), body


def _taken(described: dict[str, Any], path: str) -> str:
    *parents, name = path.split(".")
    for parent in parents:
        described = described.setdefault(parent, {})
    return str(described.pop(name, ""))


def _parameters(described: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in described.items():
        for one in value if isinstance(value, list) else [value]:
            yield name, str(one)


def headers_of(metadata: Metadata) -> Iterator[tuple[str, str]]:
    for name, value in metadata:
        if isinstance(value, bytes):
            yield name, base64.b64encode(value).decode()
        elif name == "x-external-id" and value != value.strip():
            # HTTP takes no notice of spaces around a value.
            yield f"{name}-bin", base64.b64encode(value.encode()).decode()
        else:
            yield name, value.strip()
