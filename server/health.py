"""grpc.health.v1: SERVING while the database can be written to, per service and overall."""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Lock, Thread
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2

from server.database import Database
from server.liveness import Liveness

log = logging.getLogger(__name__)

OVERALL = ""
LOOK_SECONDS = 0.25


class _Watch:
    """What sends on a Watch stream, and ends it once: nothing follows after None."""

    def __init__(self, send: Callable[[Any], None]) -> None:
        self._send = send
        self._ended = False
        self._lock = Lock()

    def __call__(self, response: Any) -> None:
        with self._lock:
            if self._ended:
                return
            self._ended = response is None
        self._send(response)


class _Servicer(health.HealthServicer):  # type: ignore[misc]
    """Answers on threads of its own, since those for calls may all be taken, and can end its streams:
    a client that watches would hold up a server that drains until the drain timeout."""

    def __init__(self) -> None:
        threads = ThreadPoolExecutor(1, thread_name_prefix="health")
        super().__init__(experimental_non_blocking=True, experimental_thread_pool=threads)
        # grpcio runs a behaviour with this attribute in that pool instead of the server's.
        setattr(type(self).Check, "experimental_thread_pool", threads)  # noqa: B010
        self._watches: set[_Watch] = set()
        self._stopping = False
        self._watches_lock = Lock()

    def Check(self, request: Any, context: grpc.ServicerContext) -> Any:
        """grpc.health.v1.Health/Check."""
        return super().Check(request, context)

    def Watch(
        self, request: Any, context: grpc.ServicerContext, send_response_callback: Callable[[Any], None]
    ) -> None:
        """grpc.health.v1.Health/Watch."""
        watch = _Watch(send_response_callback)
        super().Watch(request, context, watch)
        with self._watches_lock:
            self._watches.add(watch)
            stopping = self._stopping
        if stopping or not context.add_callback(lambda: self._watches.discard(watch)):
            watch(None)
            self._watches.discard(watch)

    def stop(self) -> None:
        """Tells every watcher NOT_SERVING and ends its stream."""
        self.enter_graceful_shutdown()
        with self._watches_lock:
            self._stopping = True
            watches = list(self._watches)
        for watch in watches:
            watch(None)


class Health:
    """The health servicer and the thread that keeps it true."""

    def __init__(self, database: Database, services: Sequence[str]) -> None:
        self.servicer = _Servicer()
        self._liveness = Liveness(database)
        self._services = (OVERALL, *services)
        self._serving: bool | None = None
        self._stopped = Event()

    def start(self) -> None:
        """Sets the first status before it returns."""
        self._liveness.start()
        self._tell()
        Thread(target=self._watch, name="health-watch", daemon=True).start()

    def stop(self) -> None:
        """NOT_SERVING, and from now on for good."""
        self._stopped.set()
        self._liveness.stop()
        self.servicer.stop()

    def _watch(self) -> None:
        while not self._stopped.wait(LOOK_SECONDS):
            self._tell()

    def _tell(self) -> None:
        serving = self._liveness.serving()
        if serving == self._serving:
            return
        self._serving = serving
        status = health_pb2.HealthCheckResponse
        for service in self._services:
            self.servicer.set(service, status.SERVING if serving else status.NOT_SERVING)
        log.log(
            logging.INFO if serving else logging.WARNING,
            "database answers" if serving else "database is away",
        )
