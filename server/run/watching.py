"""How a node is watched: where its processes keep their numbers, and what each looks at now and then."""

import logging
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from threading import Event, Thread

from starlette.applications import Starlette
from starlette.routing import Route

from server.base import metrics
from server.base.errors import HitchpostError
from server.config import Settings
from server.rpc.lanes import Lane
from server.run import web_server
from server.run.served_tls import ServedTls
from server.storage import schema
from server.storage.database import Database
from server.storage.database import database as stored
from server.web.metrics import MetricsPage

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.25


@contextmanager
def gathering(settings: Settings, stop: Event) -> Iterator[Path | None]:
    """The folder of this node's numbers, which is there inside the block; None if nothing is counted.

    They are served inside the block, if they have an address of their own. Raises OSError.
    """
    if not settings.metrics:
        yield None
        return
    # New, and for this user alone.
    folder = Path(tempfile.mkdtemp(prefix="hitchpost-metrics-"))
    try:
        if settings.metrics_address is None:
            yield folder
            return
        application = Starlette(routes=[MetricsPage(partial(metrics.text, folder)).route()])
        with web_server.serving(application, settings.metrics_address, settings.drain_timeout, stop):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def routes(settings: Settings) -> list[Route]:
    """Where a process that serves HTTP anyway tells of its node, unless that has an address of its own."""
    if not settings.metrics or settings.metrics_address is not None:
        return []
    return [MetricsPage(metrics.text).route()]


def begin(settings: Settings) -> None:
    """A process of this node begins: whether it counts, what it is, and on which schema it works."""
    if not settings.metrics:
        metrics.switch_off()
        return
    metrics.start()
    # Whoever serves says that the database is away.
    with suppress(HitchpostError):
        metrics.schema_version.set(schema.version(stored))
    stored.close()


class Watch:
    """A thread that counts what calls have noted, and sets gauges, so that calls need not."""

    def __init__(self, *looks: Callable[[], None]) -> None:
        self._looks = looks
        self._stopped = Event()

    def start(self) -> None:
        """Looks from now on."""
        Thread(target=self._run, name="watch", daemon=True).start()

    def stop(self) -> None:
        """Looks no more."""
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.wait(LOOK_SECONDS):
            for look in (metrics.count, *self._looks):
                try:
                    look()
                except Exception:
                    log.exception("unexpected error while metrics were gathered")


def lanes(watched: Mapping[str, Lane]) -> Callable[[], None]:
    """How many calls wait in each of these lanes."""
    for name in watched:
        metrics.expect_lane(name)

    def look() -> None:
        for name, lane in watched.items():
            metrics.calls_waiting.labels(name).set(lane.waiting)

    return look


def database(role: str, watched: Database, alive: Callable[[], bool]) -> Callable[[], None]:
    """A process's connections, and whether the database answers; `alive` must know that from memory."""

    def look() -> None:
        metrics.database_connections.labels(role).set(watched.connections)
        metrics.database_up.labels(role).set(alive())

    return look


def certificates(served: ServedTls | None) -> Callable[[], None]:
    """When those end that new connections are served with; None: there is no TLS."""

    def look() -> None:
        for file, end in (served.expiry() if served else {}).items():
            metrics.certificate_expiry.labels(file).set(end.timestamp())

    return look
