"""`hitchpost probe`: what a container engine runs to know whether a server serves."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.kit.certificates import Authority
from tests.kit.servers import Server, hitchpost, printed, refused, serving
from tests.kit.support import free_port

ROLES = ("all", "grpc", "web", "worker")


@pytest.fixture
def server(run_dir: Path, new_database: Callable[[], str]) -> Iterator[Server]:
    """One that listens on all addresses, as in a container."""
    addresses = {f"{name}_address": f"0.0.0.0:{free_port()}" for name in ("grpc", "web", "worker")}
    with serving(run_dir, new_database(), public_url="http://127.0.0.1:1", **addresses) as server:
        yield server


def test_every_role_is_asked_where_it_listens(server: Server) -> None:
    for role in ROLES:
        assert printed("probe", "--role", role, **server.settings) == ""
    server.stop()
    for role in ROLES:
        asked = "grpc" if role == "all" else role
        port = server.settings[f"{asked}_address"].rpartition(":")[2]
        said = refused("probe", "--role", role, **server.settings)
        assert said.startswith(f"hitchpost: {asked}: 127.0.0.1:{port} does not answer: ")


def test_a_worker_without_an_address_can_t_be_asked() -> None:
    said = refused("probe", "--role", "worker", database_url="postgresql://h/d")
    assert said == "hitchpost: HITCHPOST_WORKER_ADDRESS is not set: a worker answers nowhere else"


@pytest.mark.parametrize(("name", "mutual"), [("hitchpost.example.com", False), ("*.example.com", True)])
def test_by_tls_the_server_is_known_by_its_certificate(
    name: str, mutual: bool, tmp_path: Path, run_dir: Path, new_database: Callable[[], str]
) -> None:
    authority = Authority("authority")
    identity = authority.identity(name)
    contents = {"cert": identity.certificate, "key": identity.key}
    if mutual:
        contents["client_ca"] = authority.certificate
    for file, content in contents.items():
        (tmp_path / file).write_bytes(content)
    files = {f"tls_{file}": str(tmp_path / file) for file in contents}
    with serving(run_dir, new_database(), **files) as server:
        assert printed("probe", "--role", "grpc", **server.settings) == ""
        # Another server's certificate is not taken for it.
        other = authority.identity("other.example.com")
        (tmp_path / "cert").write_bytes(other.certificate)
        (tmp_path / "key").write_bytes(other.key)
        ran = hitchpost("probe", "--role", "grpc", **server.settings)
        assert (ran.returncode, "CERTIFICATE_VERIFY_FAILED" in ran.stderr) == (1, True)
