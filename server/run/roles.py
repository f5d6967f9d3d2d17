"""The roles of processes: each serves until it is told to stop."""

from collections.abc import Callable

from server.run.grpc import serve_grpc
from server.run.web import serve_web
from server.run.worker import serve_worker

SERVE: dict[str, Callable[..., None]] = {"grpc": serve_grpc, "web": serve_web, "worker": serve_worker}
