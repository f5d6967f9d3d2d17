"""grpc.health.v1: SERVING while the database answers, per service and overall."""

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Thread

from grpc_health.v1 import health, health_pb2

from server.database import Database

log = logging.getLogger(__name__)

OVERALL = ""
CHECK_SECONDS = 1.0


class Health:
    """The health servicer and the thread that keeps it true."""

    def __init__(self, database: Database, services: Sequence[str]) -> None:
        self.servicer = health.HealthServicer(
            experimental_non_blocking=True,
            experimental_thread_pool=ThreadPoolExecutor(1, thread_name_prefix="health"),
        )
        self._database = database
        self._services = (OVERALL, *services)
        self._serving: bool | None = None
        self._stopped = Event()
        self._thread = Thread(target=self._watch, name="health-watch", daemon=True)

    def start(self) -> None:
        """Sets the first status before it returns."""
        self._check()
        self._thread.start()

    def stop(self) -> None:
        """NOT_SERVING, and from now on for good."""
        self._stopped.set()
        self.servicer.enter_graceful_shutdown()

    def _watch(self) -> None:
        while not self._stopped.wait(CHECK_SECONDS):
            self._check()
        self._database.close()

    def _check(self) -> None:
        serving = self._database.alive()
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
