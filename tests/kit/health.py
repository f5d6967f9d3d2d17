"""What a server says of its health, by gRPC and by HTTP."""

import urllib.error
import urllib.request

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.kit.servers import Server

STATUS = health_pb2.HealthCheckResponse


def health(channel: grpc.Channel, service: str = "") -> int:
    """What a worker says about a service."""
    request = health_pb2.HealthCheckRequest(service=service)
    return health_pb2_grpc.HealthStub(channel).Check(request, timeout=10).status


def healthz(server: Server) -> int:
    """The HTTP status of the web process's health page."""
    try:
        with urllib.request.urlopen(f"{server.web_url}/healthz", timeout=20) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code
