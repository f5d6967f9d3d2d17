"""Each gRPC worker at a port of its own, beside the one that all share."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import psutil
import pytest

from tests.kit.certificates import Authority
from tests.kit.servers import Server, eventually, local_channel, new_server, refused, serving
from tests.kit.support import free_ports

AUTHORITY = Authority("own ports")
IDENTITY = AUTHORITY.identity("server")


@pytest.fixture(scope="module")
def server(run_dir: Path, new_database: Callable[[], str]) -> Iterator[Server]:
    """Two workers with ports of their own, all by TLS."""
    cert, key = run_dir / "own-cert.pem", run_dir / "own-key.pem"
    cert.write_bytes(IDENTITY.certificate)
    key.write_bytes(IDENTITY.key)
    settings = {"workers": "2", "grpc_own_ports": str(free_ports(2)), "pin_workers": "false"}
    with serving(run_dir, new_database(), **settings, tls_cert=str(cert), tls_key=str(key)) as running:
        yield running


def own_ports(server: Server) -> list[int]:
    """The workers' ports, in order."""
    first = int(server.settings["grpc_own_ports"])
    return [first, first + 1]


def worker_at(server: Server, port: int) -> int:
    """Whoever listens there: the process id."""
    credentials = grpc.ssl_channel_credentials(AUTHORITY.certificate)
    with local_channel(f"127.0.0.1:{port}", credentials) as channel:
        return server.worker_of(channel)


def worker_if_any(server: Server, port: int) -> int | None:
    """The same, or None while nobody listens."""
    with socket.socket() as probe:
        return worker_at(server, port) if probe.connect_ex(("127.0.0.1", port)) == 0 else None


def test_each_worker_listens_at_a_port_of_its_own_and_at_the_shared_one(server: Server) -> None:
    workers = [worker_at(server, port) for port in own_ports(server)]
    assert len(set(workers)) == 2
    assert worker_at(server, int(server.address.rpartition(":")[2])) in workers
    first, last = own_ports(server)
    said = f"{server.address}, and each worker by itself at 127.0.0.1:{first} to {last}"
    assert said in server.output.read_text()


def test_who_takes_the_place_of_a_worker_takes_its_port(server: Server) -> None:
    first, second = own_ports(server)
    killed, other = worker_at(server, first), worker_at(server, second)
    process = psutil.Process(killed)
    process.kill()
    process.wait(30)
    new = eventually("another worker is there", lambda: worker_if_any(server, first))
    assert new not in (killed, other)
    assert worker_at(server, second) == other


@pytest.mark.parametrize("shared", [False, True])
def test_a_port_that_is_taken_is_named_at_the_start(shared: bool, run_dir: Path) -> None:
    first = free_ports(2)
    with socket.socket() as taken:
        if shared:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(("127.0.0.1", first + 1))
        taken.listen()
        settings = {"workers": "2", "grpc_own_ports": str(first), "pin_workers": "false"}
        said = refused("serve", **new_server(run_dir, "postgresql://127.0.0.1:1/x", **settings).settings)
    assert said == (
        f"hitchpost: HITCHPOST_GRPC_OWN_PORTS: can't listen on 127.0.0.1:{first + 1}: Address already in use"
    )
