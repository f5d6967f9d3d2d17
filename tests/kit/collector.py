"""A collector: a real HTTP server that takes spans by OTLP, as http/protobuf has it."""

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

KINDS = {
    Span.SPAN_KIND_SERVER: "server",
    Span.SPAN_KIND_CLIENT: "client",
    Span.SPAN_KIND_CONSUMER: "consumer",
}


@dataclass(frozen=True)
class Seen:
    """A span as it came; `links` are the trace and span ids that it links to."""

    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    attributes: dict[str, Any]
    failed: bool
    links: list[tuple[str, str]]
    resource: dict[str, Any]


@dataclass
class Collector:
    """What has come. While it has a `status` other than 200 it takes nothing."""

    url: str = ""
    status: int = 200
    requests: int = 0
    raw: list[bytes] = field(default_factory=list)
    spans: list[Seen] = field(default_factory=list)

    def named(self, name: str, **attributes: Any) -> list[Seen]:
        """The spans of this name that have these attributes, with _ for each dot."""
        return [
            span
            for span in list(self.spans)
            if span.name == name
            and attributes.items()
            <= {key.replace(".", "_"): value for key, value in span.attributes.items()}.items()
        ]

    def within(self, parent: Seen) -> list[Seen]:
        """The spans whose parent it is."""
        return [span for span in list(self.spans) if span.parent_id == parent.span_id]

    def take(self, body: bytes) -> None:
        """Reads a request. Raises DecodeError."""
        self.raw.append(body)
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            of = _values(resource.resource.attributes)
            self.spans += [_seen(span, of) for scope in resource.scope_spans for span in scope.spans]


def _seen(span: Span, resource: dict[str, Any]) -> Seen:
    return Seen(
        span.name,
        KINDS[span.kind],
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        _values(span.attributes),
        span.status.code == span.status.STATUS_CODE_ERROR,
        [(link.trace_id.hex(), link.span_id.hex()) for link in span.links],
        resource,
    )


def _values(attributes: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, str(one.value.WhichOneof("value"))) for one in attributes}


@contextmanager
def collecting(port: int = 0) -> Iterator[Collector]:
    """A collector that listens inside the block."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            right = self.path == "/v1/traces" and self.headers["Content-Type"] == "application/x-protobuf"
            status = collector.status if right else 404
            if status == 200:
                packed = self.headers.get("Content-Encoding") == "gzip"
                collector.take(gzip.decompress(body) if packed else body)
            collector.requests += 1
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(status)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    collector.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
