"""The roles of processes, each of which serves until it is told to stop, and which of them a server has."""

import itertools
import os
from collections.abc import Callable

from server.config import Settings, cores
from server.run.grpc import serve_grpc
from server.run.supervisor import GRPC_ENVIRONMENT, MALLOC_ENVIRONMENT, Job
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


def environment_of(settings: Settings) -> dict[str, str]:
    """What the processes need to know beyond what the environment said, which goes first for libraries."""
    resolved = {
        "HITCHPOST_DATABASE_URL": settings.database_url,
        "HITCHPOST_ENCRYPTION_KEYS": settings.encryption_keys,
    }
    secrets = {name: value.get_secret_value() for name, value in resolved.items() if value is not None}
    return {
        **GRPC_ENVIRONMENT,
        **MALLOC_ENVIRONMENT,
        **os.environ,
        **secrets,
        "HITCHPOST_DEV_MODE": str(settings.dev_mode),
    }
