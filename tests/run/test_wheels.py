"""The wheels, installed where others have packages called `server` and `generated`: each finds its own."""

import subprocess
import urllib.request
import zipfile
from pathlib import Path

import pytest

from server.base.version import VERSION
from tests.kit import wheels
from tests.kit.servers import REPOSITORY, Server, environment, new_server, started
from tests.kit.support import unique

# A program of somebody who has both wheels, and packages of their own that are called as ours are.
CALL = """
import sys
import grpc, server, generated
from hitchpost.v1 import social_account_service_pb2 as pb, social_account_service_pb2_grpc as pb_grpc
from hitchpost.v1 import social_post_service_pb2_grpc, platform_app_service_pb2_grpc, error_reason_pb2
assert server.WHOSE == generated.WHOSE == "somebody's"
with grpc.insecure_channel(sys.argv[1]) as channel:
    accounts = pb_grpc.SocialAccountServiceStub(channel)
    request = pb.CreateAuthUrlRequest(platform="PLATFORM_SANDBOX", external_id="user_123")
    key = [("authorization", f"Bearer {sys.argv[2]}")]
    print(accounts.CreateAuthUrl(request, metadata=key, timeout=30, wait_for_ready=True).url)
"""


@pytest.fixture(scope="module")
def home(run_dir: Path) -> Path:
    """A folder outside the repository, with an environment that has both wheels. Others' packages are in the
    way: in the folder itself, among the installed ones, and in `path` for PYTHONPATH."""
    home = run_dir / unique("home")
    built = [wheels.build(project, home / "dist") for project in wheels.PROJECTS]
    wheels.new_environment(home / "venv", *built)
    for place in (home, home / "path", wheels.packages_of(home / "venv")):
        for name in ("server", "generated"):
            (place / name).mkdir(parents=True)
            (place / name / "__init__.py").write_text('WHOSE = "somebody\'s"\n')
    return home


@pytest.fixture
def hitchpost(home: Path, empty_database: str) -> Server:
    """The installed command and its settings: a server that has not been started."""
    server = new_server(home, empty_database)
    server.command = (str(home / "venv" / "bin" / "hitchpost"),)
    server.folder = home
    return server


def run(server: Server, *arguments: str) -> str:
    """What one of the installed commands prints."""
    return subprocess.check_output(
        [*server.command, *arguments], cwd=server.folder, env=settings(server), text=True, timeout=120
    )


def settings(server: Server) -> dict[str, str]:
    return environment(**server.settings) | {"PYTHONPATH": str(server.folder / "path")}


def test_the_server_serves_a_program_with_the_client(
    hitchpost: Server, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert VERSION in run(hitchpost, "--version")
    assert run(hitchpost, "migrate").startswith("applied: 0001_")
    run(hitchpost, "projects", "create", "my-app")
    key = run(hitchpost, "keys", "create", "my-app").strip()
    monkeypatch.setenv("PYTHONPATH", str(home / "path"))
    with started(hitchpost):
        python = str(home / "venv" / "bin" / "python")
        call = [python, "-c", CALL, hitchpost.address, key]
        url = subprocess.check_output(call, cwd=home, env=settings(hitchpost), text=True, timeout=120)
        assert url.startswith(f"{hitchpost.web_url}/sandbox/authorize?")
        # The sandbox's page, the document and its page are files that came with the wheel.
        for path, text in {"/sandbox": "sandbox", "/openapi.json": "openapi", "/docs": "<html"}.items():
            with urllib.request.urlopen(f"{hitchpost.web_url}{path}", timeout=30) as answer:
                assert text in answer.read().decode()


def test_each_wheel_brings_one_name(home: Path) -> None:
    found = {}
    for wheel in sorted((home / "dist").glob("*.whl")):
        names = zipfile.ZipFile(wheel).namelist()
        found[wheel.name.partition("-")[0]] = {
            name.partition("/")[0] for name in names if ".dist-info/" not in name
        }
    assert found == {"hitchpost": {"hitchpost_server"}, "hitchpost_client": {"hitchpost"}}


@pytest.mark.parametrize("folder", ["server", "generated", "protos"])
def test_the_server_s_wheel_has_every_file(home: Path, folder: str) -> None:
    [wheel] = (home / "dist").glob("hitchpost-*.whl")
    listed = subprocess.check_output(["git", "ls-files", folder], cwd=REPOSITORY, text=True).splitlines()
    assert listed
    packed = zipfile.ZipFile(wheel)
    assert [name for name in listed if f"hitchpost_server/{name}" not in packed.namelist()] == []


def test_the_client_needs_grpcio_and_protobuf_alone(home: Path) -> None:
    [wheel] = (home / "dist").glob("hitchpost_client-*.whl")
    packed = zipfile.ZipFile(wheel)
    [metadata] = [name for name in packed.namelist() if name.endswith("METADATA")]
    lines = packed.read(metadata).decode().splitlines()
    assert f"Version: {VERSION}" in lines
    needed = {
        line.removeprefix("Requires-Dist: ").partition("<")[0] for line in lines if "Requires-Dist" in line
    }
    assert needed == {"grpcio", "protobuf"}
    assert "hitchpost/py.typed" in packed.namelist()
