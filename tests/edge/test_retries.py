"""What Envoy repeats, and what it must not: seen by workers that only count, and fail as they are told."""

import json
import re
import socket
import socketserver
import struct
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from threading import Thread

import grpc
import pytest

from server.rpc.registry import RPCS
from tests.kit import envoy
from tests.kit.envoy import Edge
from tests.kit.servers import REPOSITORY, local_channel
from tests.kit.support import free_ports, unique

PAGE = (REPOSITORY / "docs" / "clients.md").read_text()
SERVICE_CONFIG = json.loads(re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)[0])["methodConfig"][0]
LISTED = {f"/{one['service']}/{one['method']}" for one in SERVICE_CONFIG["name"]}
# Of what clients may repeat, what needs no request_id, which Envoy can't see.
READS = {path for path in LISTED if not RPCS[path].writes}
CODES = ["UNAVAILABLE", "CANCELLED", "ABORTED", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED", "INTERNAL"]
# The type of a frame of HTTP/2.
HEADERS = 1


@dataclass
class Workers(grpc.GenericRpcHandler):
    """Two that fail each call with the code that its metadata names; what they saw, by a call's mark."""

    seen: Counter[str] = field(default_factory=Counter)
    metadata: dict[str, dict[str, str]] = field(default_factory=dict)

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        return grpc.unary_unary_rpc_method_handler(self._fail)

    def _fail(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        metadata = {name: str(value) for name, value in context.invocation_metadata()}
        self.seen[metadata["x-request-id"]] += 1
        self.metadata[metadata["x-request-id"]] = metadata
        if metadata["fails-with"] != "OK":
            context.abort(grpc.StatusCode[metadata["fails-with"]], "as it was told")
        return b""


@pytest.fixture(scope="module")
def workers() -> Workers:
    return Workers()


@pytest.fixture(scope="module")
def edge(workers: Workers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    first = free_ports(3)
    addresses = [f"127.0.0.1:{first}", f"127.0.0.1:{first + 1}"]
    with ExitStack() as stack:
        for address in addresses:
            server = grpc.server(ThreadPoolExecutor(8), handlers=[workers])
            assert server.add_insecure_port(address)
            server.start()
            stack.callback(server.stop, None)
        folder = tmp_path_factory.mktemp("retries")
        yield stack.enter_context(envoy.running(folder, addresses, f"127.0.0.1:{first + 2}", checked=False))


def called(edge: Edge, path: str, code: str, *further: tuple[str, str]) -> tuple[str, str]:
    """Calls a method that fails so; gives the call's mark, and the code that the caller saw."""
    mark = unique("retry")
    metadata = [("x-request-id", mark), ("fails-with", code), *further]
    with local_channel(edge.plain, options=[("grpc.enable_retries", 0)]) as channel:
        try:
            channel.unary_unary(path)(b"", metadata=metadata, timeout=60)
        except grpc.RpcError as error:
            return mark, error.code().name  # type: ignore[attr-defined]
    return mark, "OK"


def test_the_reads_of_the_page_are_those_that_read() -> None:
    assert {path.rpartition("/")[2] for path in READS} == {
        "GetSocialAccount",
        "ListSocialAccounts",
        "GetSocialPost",
        "ListSocialPosts",
    }


@pytest.mark.parametrize("path", RPCS)
def test_only_reads_are_repeated_and_only_what_may_pass(path: str, edge: Edge, workers: Workers) -> None:
    with ThreadPoolExecutor(len(CODES)) as pool:
        calls = dict(zip(CODES, pool.map(lambda code: called(edge, path, code), CODES), strict=True))
    assert {code: seen for code, (_, seen) in calls.items()} == {code: code for code in CODES}
    repeated = {"UNAVAILABLE", "CANCELLED"} if path in READS else set()
    attempts = {code: workers.seen[mark] for code, (mark, _) in calls.items()}
    policy = SERVICE_CONFIG["retryPolicy"]
    assert set(policy["retryableStatusCodes"]) == {"UNAVAILABLE", "CANCELLED"}
    assert attempts == {code: policy["maxAttempts"] if code in repeated else 1 for code in CODES}


class Breaking(socketserver.BaseRequestHandler):
    """A worker that dies of every call: it has the headers of one, and then the connection breaks."""

    seen: list[str] = []  # noqa: RUF012 (of all connections together)

    def handle(self) -> None:
        said = self.request.makefile("rb")
        said.read(len(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))
        while header := said.read(9):
            length, kind = int.from_bytes(header[:3], "big"), header[3]
            said.read(length)
            if kind == HEADERS:
                self.seen.append(f"{self.client_address}")
                self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """Envoy in front of two such workers."""
    first = free_ports(3)
    addresses = [("127.0.0.1", first), ("127.0.0.1", first + 1)]
    with ExitStack() as stack:
        for address in addresses:
            server = stack.enter_context(socketserver.ThreadingTCPServer(address, Breaking))
            server.daemon_threads = True
            Thread(target=server.serve_forever, daemon=True).start()
            stack.callback(server.shutdown)
        folder = tmp_path_factory.mktemp("broken")
        names = [f"{host}:{port}" for host, port in addresses]
        yield stack.enter_context(envoy.running(folder, names, f"127.0.0.1:{first + 2}", checked=False))


@pytest.mark.parametrize("path", RPCS)
def test_after_a_connection_broke_only_reads_are_repeated(path: str, broken: Edge) -> None:
    Breaking.seen.clear()
    _, code = called(broken, path, "OK")
    assert (code, len(Breaking.seen)) == ("UNAVAILABLE", 4 if path in READS else 1)


def test_what_workers_are_told_of_a_call(edge: Edge, workers: Workers) -> None:
    path = min(READS)
    mark, code = called(edge, path, "OK", ("x-forwarded-for", "192.0.2.1"), ("x-external-id", "owner"))
    metadata = workers.metadata[mark]
    assert (code, metadata["x-request-id"], metadata["x-external-id"]) == ("OK", mark, "owner")
    # Who has connected stands last (from this machine, by an address of its own); before it, what they said.
    said, connected = metadata["x-forwarded-for"].replace(" ", "").split(",")
    assert said == "192.0.2.1"
    assert connected != said


def test_callers_cannot_ask_for_more_retries(edge: Edge, workers: Workers) -> None:
    [write] = [path for path in RPCS if path.endswith("/CreateSocialPost")]
    mark, _ = called(edge, write, "UNAVAILABLE", ("x-envoy-retry-grpc-on", "unavailable"))
    assert workers.seen[mark] == 1
