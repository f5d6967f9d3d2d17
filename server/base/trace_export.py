"""OpenTelemetry's SDK, as traces need it: imported only when there are some.

Nothing of it is global, so that what other libraries would have traced stays theirs.
"""

import logging
import os
import time
from collections.abc import Iterable, Sequence
from typing import Any

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from opentelemetry.trace import (
    Link,
    Span,
    SpanKind,
    Status,
    StatusCode,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from server.base.version import VERSION

log = logging.getLogger(__name__)

# Between two warnings of the same trouble.
WARN_SECONDS = 60.0
_FORMAT = TraceContextTextMapPropagator()


class _Exporter(OTLPSpanExporter):
    """Sends spans to a collector; what it does not take is lost, and the log says so now and then."""

    _lost = 0
    _warned = -WARN_SECONDS

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """See SpanExporter. Runs in the one thread of the batches."""
        result = super().export(spans)
        if result is not SpanExportResult.SUCCESS:
            self._lost += len(spans)
            if time.monotonic() >= self._warned + WARN_SECONDS:
                log.warning("the collector does not take spans", extra={"lost": self._lost})
                self._lost, self._warned = 0, time.monotonic()
        return result


class Exporting:
    """Makes spans, and sends those that are sampled, in batches, from a thread of its own.

    Beyond OTEL_BSP_MAX_QUEUE_SIZE spans that wait, the oldest are dropped. `propagates`: contexts are taken
    from callers and handed on.
    """

    def __init__(self, propagates: bool) -> None:
        # It says at each try what _Exporter says once.
        logging.getLogger("opentelemetry.exporter").setLevel(logging.CRITICAL)
        self.propagates = propagates
        self._provider = TracerProvider(resource=_resource(), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(_Exporter()))
        self._tracer = self._provider.get_tracer("hitchpost", VERSION)

    def stop(self) -> None:
        """Sends what waits, for as long as that takes."""
        self._provider.shutdown()

    def served(
        self, name: str, metadata: Iterable[tuple[str, str | bytes]], attributes: dict[str, Any]
    ) -> Span:
        """A span within the caller's, if there is one."""
        given: dict[str, list[str]] = {"traceparent": [], "tracestate": []}
        for key, value in metadata if self.propagates else ():
            if key in given and isinstance(value, str):
                given[key].append(value)
        # Of two nobody knows which one is meant.
        parent = _FORMAT.extract(given, Context()) if len(given["traceparent"]) == 1 else Context()
        return self._tracer.start_span(name, parent, SpanKind.SERVER, attributes)

    def asked(self, name: str, parent: Span, attributes: dict[str, Any]) -> Span:
        """A span of something that is asked of others."""
        return self._tracer.start_span(
            name, set_span_in_context(parent, Context()), SpanKind.CLIENT, attributes
        )

    def due(self, name: str, made_in: str | None, attributes: dict[str, Any]) -> Span:
        """A span of due work, which begins a trace and links to the one that it was made in."""
        made = get_current_span(_FORMAT.extract({"traceparent": [made_in or ""]}, Context()))
        links = [Link(made.get_span_context())] if made.get_span_context().is_valid else ()
        return self._tracer.start_span(name, Context(), SpanKind.CONSUMER, attributes, links)

    def outgoing(self, span: Span) -> str:
        """The span's context as `traceparent` has it."""
        carrier: dict[str, str] = {}
        _FORMAT.inject(carrier, set_span_in_context(span, Context()))
        return carrier["traceparent"]

    def failed(self, span: Span, why: str) -> None:
        """It was an error, of this type."""
        span.set_attribute("error.type", why)
        span.set_status(Status(StatusCode.ERROR))


def _resource() -> Resource:
    """Who we are: OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say it first."""
    ours = Resource({"service.name": "hitchpost", "service.version": VERSION, "process.pid": os.getpid()})
    return Resource.create().merge(ours).merge(OTELResourceDetector().detect())
