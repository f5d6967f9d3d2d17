"""A gRPC worker: one process of calls."""

import gc
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import TYPE_CHECKING

import grpc
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2

from generated.hitchpost.v1 import error_reason_pb2
from server.app import App
from server.base import logs
from server.base.identity import utc_now
from server.config import Settings
from server.rpc.call import StreamingMethod
from server.rpc.handlers import Handlers, ServerLoop
from server.rpc.health import Health
from server.rpc.key_ring import KeyRing
from server.rpc.lanes import Lane
from server.rpc.layers import UnknownMethods
from server.rpc.reflection import Reflection
from server.rpc.registry import SERVICES
from server.run import methods, served_tls, watching
from server.run.served_tls import ServedTls
from server.run.start import check_free
from server.storage.database import database

if TYPE_CHECKING:
    from server.rpc.call_loop import CallLoop

# Calls that are open at once on a connection, and of methods that there are not on a worker.
# A call costs memory as soon as it is open, before its request and its key are there.
MAX_OPEN_CALLS = 500
# With gRPC's own loop: all calls that are open at once, and threads; an open reflection stream has one.
MAX_HANDLED, HANDLERS = 2_000, 16


class GrpcProcess:
    """One gRPC worker. Several share a port: the kernel spreads connections over them (SO_REUSEPORT).

    At its own address it is alone, so that a proxy can spread calls.
    """

    def __init__(self, app: App, own_address: str | None = None) -> None:
        """Raises OSError when somebody listens at its own address."""
        settings = app.settings
        self._drain_timeout = settings.drain_timeout
        self._health = Health(database, [service.full_name for service in SERVICES])
        lanes = methods.lanes(settings)
        handlers = Handlers(lanes)
        server = _server(settings, handlers)
        self.tls = served_tls.of(settings, utc_now)
        self.port = _bind(server, settings.grpc_address, self.tls)
        if own_address is not None:
            # Whether ports are shared is said to gRPC once for all of a server's.
            check_free("HITCHPOST_GRPC_OWN_PORTS", own_address)
            _bind(server, own_address, self.tls)
        self._keys = KeyRing()
        self._loop = _loop(settings, server, handlers, lanes)
        self._watch = watching.Watch(
            watching.lanes(lanes),
            watching.database("grpc", database, self._health.database_answers),
            self._loop.look,
            watching.certificates(self.tls),
        )
        for method in methods.composed(app, self._keys).values():
            if isinstance(method, StreamingMethod):
                handlers.add(method)
            else:
                self._loop.add(method)
        described = {*(service.file for service in SERVICES), error_reason_pb2.DESCRIPTOR}
        described |= {error_details_pb2.DESCRIPTOR, health_pb2.DESCRIPTOR}
        for stream in (*self._health.streams(), *Reflection(described).streams()):
            self._loop.add_stream(stream)

    def start(self) -> None:
        """Accepts calls from now on."""
        self._health.start()
        self._keys.start()
        self._watch.start()
        if self.tls is not None:
            self.tls.start()
        self._loop.start()

    def stop(self) -> None:
        """NOT_SERVING, no new calls, and then waits for those in flight, up to the drain timeout."""
        self._health.stop()
        self._loop.stop(self._drain_timeout.total_seconds())
        self._keys.stop()
        self._watch.stop()
        if self.tls is not None:
            self.tls.stop()
        logs.calls.flush()


def _server(settings: Settings, handlers: Handlers) -> grpc.Server:
    """It has not started. Its own methods are those that stream, unknown ones, and perhaps all."""
    threads, open_calls = (1, MAX_OPEN_CALLS) if settings.call_loop == "own" else (HANDLERS, MAX_HANDLED)
    server = grpc.server(
        ThreadPoolExecutor(threads, thread_name_prefix="handlers"),
        options=_server_options(settings),
        maximum_concurrent_rpcs=open_calls,
    )
    server.add_generic_rpc_handlers((handlers, UnknownMethods()))
    return server


def _loop(
    settings: Settings, server: grpc.Server, handlers: Handlers, lanes: Mapping[str, Lane]
) -> "CallLoop | ServerLoop":
    if settings.call_loop == "grpc":
        return ServerLoop(server, handlers, lanes)
    # Not imported before: with the other loop nobody needs grpcio's inside.
    from server.rpc.call_loop import CallLoop

    return CallLoop(server, lanes, settings.max_message_bytes)


def _server_options(settings: Settings) -> list[tuple[str, int]]:
    return [
        ("grpc.so_reuseport", 1),
        ("grpc.max_receive_message_length", settings.max_message_bytes),
        ("grpc.max_concurrent_streams", MAX_OPEN_CALLS),
        # With probes gRPC would let clients send megabytes on each call before they are asked for.
        ("grpc.http2.bdp_probe", 0),
        # Calls that the receiving thread has not come to yet: beyond these gRPC itself ends some, then all.
        ("grpc.server.max_pending_requests", 2_000),
        ("grpc.server.max_pending_requests_hard_limit", 4_000),
        # Finds connections whose client is gone; clients may ask every 10 s, idle or not.
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
        ("grpc.http2.max_ping_strikes", 3),
        # Long-lived connections find their way to workers that have started since.
        ("grpc.max_connection_age_ms", 30 * 60_000),
        ("grpc.max_connection_age_grace_ms", int(settings.drain_timeout.total_seconds() * 1000)),
    ]


def _bind(server: grpc.Server, address: str, served: ServedTls | None) -> int:
    if served is None:
        return server.add_insecure_port(address)
    return server.add_secure_port(address, served.credentials())


def serve_grpc(app: App, ready: Event, stop: Event, own_address: str | None = None) -> None:
    """Serves gRPC until `stop` is set, then drains."""
    process = GrpcProcess(app, own_address)
    # What is here now stays: the collector need not look at it again and again, nor come so often.
    gc.freeze()
    gc.set_threshold(10_000, 50, 50)
    process.start()
    ready.set()
    stop.wait()
    process.stop()
