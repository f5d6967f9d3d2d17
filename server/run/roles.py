"""The roles of processes: each serves until it is told to stop."""

from server.run.grpc import serve_grpc
from server.run.web import serve_web
from server.run.worker import serve_worker

SERVE = {"grpc": serve_grpc, "web": serve_web, "worker": serve_worker}
