"""grpc.health.v1: SERVING while the database can be written to, per service and overall."""

import logging
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from threading import Event, Lock, Thread

import grpc
from google.protobuf.message import DecodeError
from grpc_health.v1 import health_pb2 as pb

from server.rpc.call import Listener, Stream
from server.rpc.layers import refuse
from server.storage.database import Database
from server.storage.liveness import Liveness

log = logging.getLogger(__name__)

OVERALL = ""
LOOK_SECONDS = 0.25
SERVICE = pb.DESCRIPTOR.services_by_name["Health"]


class Health:
    """The status of each service, those who watch it, and the thread that keeps it true."""

    def __init__(self, database: Database, services: Sequence[str]) -> None:
        self._liveness = Liveness(database)
        self._status = dict.fromkeys((OVERALL, *services), pb.HealthCheckResponse.NOT_SERVING)
        self._watching: dict[Listener, str] = {}
        self._lock = Lock()
        self._serving: bool | None = None
        self._trouble: str | None = None
        self._stopped = Event()

    def streams(self) -> Iterator[Stream]:
        """The service's methods."""
        path = f"/{SERVICE.full_name}"
        yield Stream(f"{path}/Check", many=False, hear=partial(_hear, self._check), refuse=refuse)
        yield Stream(
            f"{path}/Watch", many=False, hear=partial(_hear, self._watch), refuse=refuse, gone=self._forget
        )

    def database_answers(self) -> bool:
        """Whether it did when it was asked last. Never waits."""
        return self._liveness.serving()

    def start(self) -> None:
        """Sets the first status before it returns."""
        self._liveness.start()
        self._tell()
        Thread(target=self._keep_true, name="health", daemon=True).start()

    def stop(self) -> None:
        """NOT_SERVING, and from now on for good. Ends what watches: it would hold up a server that drains."""
        self._stopped.set()
        self._liveness.stop()
        self._set(serving=False)
        with self._lock:
            watching = list(self._watching)
        for client in watching:
            client.end()

    def _check(self, service: str, client: Listener) -> None:
        status = self._status.get(service)
        if status is None:
            client.end(grpc.StatusCode.NOT_FOUND, "there is no such service; the empty name means all")
            return
        client.send(_answer(status))
        client.end()

    def _watch(self, service: str, client: Listener) -> None:
        with self._lock:
            self._watching[client] = service
            client.send(_answer(self._status.get(service, pb.HealthCheckResponse.SERVICE_UNKNOWN)))
        if self._stopped.is_set():
            client.end()

    def _forget(self, client: Listener) -> None:
        with self._lock:
            self._watching.pop(client, None)

    def _keep_true(self) -> None:
        while not self._stopped.wait(LOOK_SECONDS):
            self._tell()

    def _tell(self) -> None:
        trouble = self._liveness.trouble()
        serving = trouble is None
        if trouble is not None and trouble != self._trouble:
            log.warning("database is away", extra={"cause": trouble})
        self._trouble = trouble
        if serving == self._serving:
            return
        self._serving = serving
        self._set(serving=serving)
        if serving:
            log.info("database answers")

    def _set(self, *, serving: bool) -> None:
        status = pb.HealthCheckResponse
        with self._lock:
            if serving and self._stopped.is_set():
                return
            self._status = dict.fromkeys(self._status, status.SERVING if serving else status.NOT_SERVING)
            for client, service in self._watching.items():
                if service in self._status:
                    client.send(_answer(self._status[service]))


def _hear(answer: Callable[[str, Listener], None], message: bytes, client: Listener) -> None:
    try:
        service = pb.HealthCheckRequest.FromString(message).service
    except DecodeError:
        client.end(grpc.StatusCode.INVALID_ARGUMENT, "the message is no HealthCheckRequest")
    else:
        answer(service, client)


def _answer(status: "pb.HealthCheckResponse.ServingStatus") -> bytes:
    return bytes(pb.HealthCheckResponse(status=status).SerializeToString())
