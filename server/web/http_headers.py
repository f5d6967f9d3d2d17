"""What a request's headers say: whose call it is, what it may be answered with, and which fields they set."""

import base64
import binascii
import time
from collections.abc import Iterator

from starlette.datastructures import Headers
from starlette.requests import Request

from server.base import errors
from server.rpc.call import Call

JSON = "application/json"
EVENTS = "text/event-stream"


def call(request: Request, wire: str) -> Call:
    """The call that this request is, before anybody has looked at it."""
    client = request.client
    peer = f"{client.host}:{client.port}".encode() if client else b""
    return Call(list(_metadata(request.headers)), peer, start=time.monotonic(), wire=wire)


def _metadata(headers: Headers) -> Iterator[tuple[str, str | bytes]]:
    """What goes with a call by gRPC, too: key, owner, request id and trace, each as often as it came."""
    for raw_name, value in headers.raw:
        name = raw_name.decode("latin-1")
        if name == "x-external-id" and not value.isascii():
            # Text in gRPC's metadata is ASCII; the bytes of one that is not are UTF-8 there and here.
            yield "x-external-id-bin", value
        elif name == "x-external-id-bin":
            yield name, _decoded(value)
        elif name in ("authorization", "x-external-id", "x-request-id", "traceparent", "tracestate"):
            yield name, value.decode("latin-1")


def _decoded(value: bytes) -> bytes:
    """gRPC leaves the padding out, or not."""
    try:
        return base64.b64decode(value + b"=" * (-len(value) % 4), validate=True)
    except binascii.Error:
        # No owner has it, and the layer that looks for owners says so.
        return b"\xff"


def refusal(headers: Headers, *, streams: bool) -> int | None:
    """The status of a request whose body can't be read, or whose answer could not; None if all is well."""
    if not _accepts(headers, EVENTS if streams else JSON):
        return 406
    has_body = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
    if has_body and ("content-encoding" in headers or not _is_json(headers.get("content-type", ""))):
        return 415
    return None


def fields(headers: Headers) -> dict[str, str | None]:
    """The headers that set fields of the request. Raises InvalidArgument for one that is there twice."""
    return {"request_id": _once(headers, "Idempotency-Key"), "if_match": _once(headers, "If-Match")}


def _once(headers: Headers, name: str) -> str | None:
    values = headers.getlist(name)
    if len(values) > 1:
        raise errors.invalid(name, "may be given only once")
    return values[0] if values else None


def _is_json(content_type: str) -> bool:
    kind, _, parameters = content_type.lower().partition(";")
    return kind.strip() == JSON and parameters.replace(" ", "") in ("", "charset=utf-8", 'charset="utf-8"')


def _accepts(headers: Headers, wanted: str) -> bool:
    """Whether one of the ranges in Accept (RFC 9110, 12.5.1) has the type, and not with a weight of 0."""
    ranges = ",".join(headers.getlist("accept")) or "*/*"
    accepted = {wanted, wanted.partition("/")[0] + "/*", "*/*"}
    for one in ranges.lower().split(","):
        kind, *parameters = (part.strip() for part in one.split(";"))
        if kind in accepted and not any(_is_zero(parameter) for parameter in parameters):
            return True
    return False


def _is_zero(parameter: str) -> bool:
    name, _, value = parameter.partition("=")
    return name.strip() == "q" and not value.strip().strip("0.")
