"""The roles of processes, each of which serves until it is told to stop, and which of them a server has."""

import itertools
import os

from server.config import Settings, cores
from server.run import supervisor
from server.run.grpc import serve_grpc
from server.run.web import serve_web
from server.run.worker import serve_worker

SERVE = {"grpc": serve_grpc, "web": serve_web, "worker": serve_worker}


def kinds_of(role: str, settings: Settings) -> list[tuple[str, int | None]]:
    """Each process's kind, and the core that it keeps to."""
    usable = itertools.cycle(cores())
    workers = [("grpc", next(usable) if settings.pin_workers else None) for _ in range(settings.workers)]
    others: list[tuple[str, int | None]] = [*[("web", None)] * settings.web_workers, ("worker", None)]
    return [(kind, core) for kind, core in [*workers, *others] if role in ("all", kind)]


def environment(settings: Settings) -> dict[str, str]:
    """What the children need to know beyond what the environment said, which goes first for libraries."""
    resolved = {
        "HITCHPOST_DATABASE_URL": settings.database_url,
        "HITCHPOST_ENCRYPTION_KEYS": settings.encryption_keys,
    }
    secrets = {name: value.get_secret_value() for name, value in resolved.items() if value is not None}
    return {
        **supervisor.GRPC_ENVIRONMENT,
        **supervisor.MALLOC_ENVIRONMENT,
        **os.environ,
        **secrets,
        "HITCHPOST_DEV_MODE": str(settings.dev_mode),
    }
