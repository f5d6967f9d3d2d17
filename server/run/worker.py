"""The worker process: what happens later, and whether it does."""

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from threading import Event

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from server.accounts import refresh_records, revocations
from server.accounts.attempt_records import EXPIRED_ATTEMPTS
from server.accounts.confirmations import UNCONFIRMED
from server.app import App
from server.base import metrics
from server.base.errors import HitchpostError
from server.publish import rate_limits, records
from server.rpc.idempotency import OLD_REQUESTS
from server.run import backlogs, watching, web_server
from server.sandbox.grants import EXPIRED_GRANTS
from server.sandbox.posts import OLD_MEDIA, OLD_POSTS
from server.storage.due_work import Handling, Work
from server.storage.worker import Worker

log = logging.getLogger(__name__)

CHECK_SECONDS = 5.0
# Every kind of due work. Those of the second list only concern the database, and need no handler.
LEASED = (records.KIND, revocations.KIND, refresh_records.KIND)
FORGOTTEN = (
    UNCONFIRMED,
    EXPIRED_ATTEMPTS,
    OLD_REQUESTS,
    EXPIRED_GRANTS,
    OLD_POSTS,
    OLD_MEDIA,
    rate_limits.FORGOTTEN,
)
KINDS = (*LEASED, *FORGOTTEN)


def due_work(app: App) -> list[Work]:
    """Every kind with its handler, which is registered here, in the order of KINDS."""
    return [
        Handling(records.KIND, app.sender.send, records.EVERY_SECONDS),
        Handling(revocations.KIND, app.revoker.revoke),
        Handling(refresh_records.KIND, app.refresher.refresh),
        *FORGOTTEN,
    ]


class Health:
    """Whether the worker does its work, as the last look found; in the log when that changes."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self.trouble: str | None = None

    def look(self) -> None:
        """Asks the worker."""
        before, self.trouble = self.trouble, self._ask()
        if self.trouble and not before:
            log.error("the worker is NOT_SERVING", extra={"cause": self.trouble})
        elif before and not self.trouble:
            log.info("the worker is SERVING again")
        metrics.worker_serving.set(self.trouble is None)

    def application(self, more: Sequence[Route] = ()) -> Starlette:
        """GET /healthz, 200 or 503, and `more`. The reason is in the log: it may name hosts, and anybody may
        ask here."""

        async def healthz(_request: Request) -> Response:
            serving = self.trouble is None
            return JSONResponse({"status": "SERVING" if serving else "NOT_SERVING"}, 200 if serving else 503)

        return Starlette(routes=[Route("/healthz", healthz), *more])

    def _ask(self) -> str | None:
        try:
            return self._worker.trouble()
        except HitchpostError as error:
            return error.for_operator


def serve_worker(app: App, ready: Event, stop: Event) -> None:
    """Does what is due until `stop` is set, then finishes what it has begun."""
    settings = app.settings
    work = due_work(app)
    worker = Worker(work, settings.worker_threads)
    watch = watching.Watch()
    health, waiting = Health(worker), backlogs.Backlogs(work if settings.metrics else ())
    with ExitStack() as stack:
        if settings.worker_address is not None:
            page, address = health.application(watching.routes(settings)), settings.worker_address
            stack.enter_context(web_server.serving(page, address, settings.drain_timeout, stop))
        worker.start()
        watch.start()
        ready.set()
        waiting.look()
        while not stop.wait(CHECK_SECONDS):
            health.look()
            waiting.look()
        watch.stop()
        if not worker.stop(settings.drain_timeout.total_seconds()):
            log.warning("due work was left to other workers, for when its lease runs out")
