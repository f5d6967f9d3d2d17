"""The roles of processes: each serves until it is told to stop."""

import itertools
from collections.abc import Callable

from server.config import Settings, cores
from server.run.grpc import serve_grpc
from server.run.supervisor import Job
from server.run.web import serve_web
from server.run.worker import serve_worker

SERVE: dict[str, Callable[..., None]] = {"grpc": serve_grpc, "web": serve_web, "worker": serve_worker}


def jobs_of(role: str, settings: Settings) -> list[Job]:
    """What each process of the role is for, or of all roles."""
    usable = itertools.cycle(cores() if settings.pin_workers else [None])
    own = settings.own_addresses or itertools.repeat(None)
    workers = [
        Job("grpc", core, address)
        for core, address, _ in zip(usable, own, range(settings.workers), strict=False)
    ]
    others = [*[Job("web")] * settings.web_workers, Job("worker")]
    return [job for job in [*workers, *others] if role in ("all", job.kind)]
