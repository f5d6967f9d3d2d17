"""Traces by OpenTelemetry, if its standard variables ask for them.

Without them nothing of it is imported, and each hook costs a look at `on`. A span has names and numbers that
we have made: never what somebody has sent, no owner, token, text or path.
"""

import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from contextvars import ContextVar
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn

from server.base.errors import HitchpostError, Kind, reason_name

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from server.base.trace_export import Exporting

# Whether there are traces: from `start` to `stop`.
on = False
# What ends them may not take longer, when the collector does not answer.
FLUSH_SECONDS = 3.0
# Kinds of errors that are the server's fault, as the conventions for gRPC have it; others are the caller's.
_FAULTS = {Kind.INTERNAL, Kind.UNIMPLEMENTED, Kind.UNAVAILABLE, Kind.DEADLINE_EXCEEDED}
_NOTHING = nullcontext(None)
# asyncio hands it on to what is asked of an event loop, so calls of platforms find the span that they are in.
_current: "ContextVar[Span | None]" = ContextVar("span", default=None)
_exporting: "Exporting"


class TracesRefused(Exception):
    """A variable of OpenTelemetry that can't be done; the text says which, and what can."""


def wanted(environment: Mapping[str, str]) -> bool:
    """Whether the OTEL_ variables ask for traces. Raises TracesRefused."""

    def first(*names: str) -> str:
        return next((value for name in names if (value := environment.get(name, "").strip())), "")

    endpoint = first("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
    exporter = first("OTEL_TRACES_EXPORTER") or ("otlp" if endpoint else "none")
    if first("OTEL_SDK_DISABLED").lower() == "true" or exporter == "none":
        return False
    if exporter != "otlp":
        _refuse("OTEL_TRACES_EXPORTER", exporter, "otlp or none")
    if endpoint and not endpoint.startswith(("http://", "https://")):
        _refuse("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint, "a URL, such as http://localhost:4318")
    protocol = first("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
    if protocol not in ("", "http/protobuf"):
        _refuse("OTEL_EXPORTER_OTLP_PROTOCOL", protocol, "http/protobuf, which collectors take at port 4318")
    for name in propagators(environment) - {"tracecontext", "baggage", "none"}:
        _refuse("OTEL_PROPAGATORS", name, "tracecontext, or none")
    return True


def propagators(environment: Mapping[str, str]) -> set[str]:
    """How contexts are handed on."""
    return {name.strip() for name in (environment.get("OTEL_PROPAGATORS") or "tracecontext").split(",")}


def _refuse(variable: str, value: str, known: str) -> NoReturn:
    raise TracesRefused(f"{variable} can't be {value!r}; it must be {known}")


def start(environment: Mapping[str, str]) -> None:
    """From now on there are traces, if they are wanted. Raises TracesRefused."""
    global _exporting, on
    if wanted(environment):
        # Not imported before: it takes a third of a second and 15 MB.
        from server.base.trace_export import Exporting

        _exporting = Exporting("tracecontext" in propagators(environment))
        on = True


def stop() -> None:
    """There are none any more; those that wait are sent, for FLUSH_SECONDS at most."""
    global on
    if on:
        on = False
        ending = threading.Thread(target=_exporting.stop, name="traces", daemon=True)
        ending.start()
        ending.join(FLUSH_SECONDS)


def current() -> "Span | None":
    """The span that this thread, or this task of an event loop, is in."""
    return _current.get() if on else None


def log_fields(span: "Span | None") -> dict[str, str]:
    """What lines of the log say of the span."""
    if span is None:
        return {}
    context = span.get_span_context()
    return {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"}


def carried() -> str | None:
    """What due work keeps of the trace that it is made in; None while nobody would see it."""
    span = current()
    return _exporting.outgoing(span) if span is not None and span.is_recording() else None


class _Inside:
    """Inside, the span is the current one; at the end it ends, and an error only leaves its name."""

    def __init__(self, span: "Span") -> None:
        self._span = span

    def __enter__(self) -> "Span":
        self._token = _current.set(self._span)
        return self._span

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if error is not None:
            why = reason_name(error) if isinstance(error, HitchpostError) else type(error).__name__
            _exporting.failed(self._span, why)
        self._span.end()
        _current.reset(self._token)


Inside = _Inside | nullcontext[None]


def begin_call(name: str, metadata: Iterable[tuple[str, str | bytes]]) -> "Span":
    """The span of a call of the method `package.Service/Method`, within that of who calls."""
    service, _, method = name.rpartition("/")
    attributes = {"rpc.system": "grpc", "rpc.service": service, "rpc.method": method}
    return _exporting.served(name, metadata, attributes)


def enter(span: "Span | None") -> None:
    """The thread serves this call from now on, until it has ended."""
    _current.set(span)


def end_call(
    span: "Span | None", code: int, error: HitchpostError | None, project: str | None
) -> dict[str, str]:
    """Ends the call's span; returns what its line in the log says of it."""
    if span is None:
        return {}
    span.set_attribute("rpc.grpc.status_code", code)
    if project is not None:
        span.set_attribute("hitchpost.project_id", project)
    if error is not None:
        span.set_attribute("hitchpost.reason", reason_name(error))
        if error.kind in _FAULTS:
            _exporting.failed(span, reason_name(error))
    span.end()
    if _current.get() is span:
        _current.set(None)
    return log_fields(span)


def statement(name: str) -> Inside:
    """A statement by its name, within what has run it; by itself it has no span."""
    attributes = {"db.system.name": "postgresql", "db.query.summary": name}
    return _client(name, attributes)


def request(method: str, host: str, port: int | None) -> Inside:
    """A request to a platform, until its answer begins."""
    attributes: dict[str, Any] = {"http.request.method": method, "server.address": host}
    if port is not None:
        attributes["server.port"] = port
    return _client(method, attributes)


def answered(span: "Span | None", status: int) -> None:
    """What a platform has answered."""
    if span is not None:
        span.set_attribute("http.response.status_code", status)
        if status >= 400:
            _exporting.failed(span, str(status))


def outgoing() -> Sequence[tuple[str, str]]:
    """The headers that hand the trace on. No tracestate: it is of tracing systems, who are none of theirs."""
    span = current()
    if span is None or not _exporting.propagates:
        return ()
    return [("traceparent", _exporting.outgoing(span))]


def due_work(kind: str, attempt: int, made_in: str | None) -> Inside:
    """An attempt at a piece of due work: a trace of its own, which links to the call that made it due."""
    attributes = {"hitchpost.due.kind": kind, "hitchpost.due.attempt": attempt}
    return _Inside(_exporting.due(f"due {kind}", made_in, attributes))


def _client(name: str, attributes: dict[str, Any]) -> Inside:
    parent = _current.get()
    if parent is None or not parent.is_recording():
        return _NOTHING
    return _Inside(_exporting.asked(name, parent, attributes))
