"""Follows docs/clients.md as a reader does: in a folder of its own, with a copy of protos/."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.kit import wheels
from tests.kit.servers import REPOSITORY, local_channel, serving

PAGE = (REPOSITORY / "docs" / "clients.md").read_text()
CLIENTS = REPOSITORY / "tests" / "clients"
STEP_SECONDS = 600
FILE = re.compile(r"^`([\w./-]+)`:\n\n```\w+\n(.*?)^```", re.MULTILINE | re.DOTALL)
COMMANDS = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Language:
    """A section of the page: the tools that it needs, and its file that has versions."""

    tools: list[str]
    versions: str


LANGUAGES = {
    # The page leaves versions to pip; here they are those of requirements.lock.
    "Python": Language([], ""),
    "TypeScript": Language(["node", "npm"], "package.json"),
    "Go": Language(["go"], "go.mod"),
    "Java": Language(["java", "mvn"], "pom.xml"),
    "Rust": Language(["cargo", "make"], "Cargo.toml"),
}
# exec-maven-plugin's: our own client is a jar.
ONLY_ON_THE_PAGE = {"3.6.2"}
Run = Callable[..., "subprocess.CompletedProcess[str]"]


def section(name: str) -> str:
    return PAGE.partition(f"\n## {name}\n")[2].partition("\n## ")[0]


@pytest.fixture(scope="module")
def world(run_dir: Path, new_database: Callable[[], str]) -> Iterator[dict[str, str]]:
    """A server's address, a key, and in `ANSWER` what the programs are to print."""
    with serving(run_dir, new_database()) as server, local_channel(server.address) as channel:
        client = server.new_client(channel)
        account = client.connect("mia", "user_123")
        yield {
            "HITCHPOST_ADDRESS": server.address,
            "HITCHPOST_KEY": client.key or "",
            "ANSWER": f"{account.id} mia\n",
        }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The reader's, with what the page says to copy there."""
    assert not tmp_path.is_relative_to(REPOSITORY)
    shutil.copytree(REPOSITORY / "protos", tmp_path / "app" / "protos")
    wheels.build(wheels.CLIENT, tmp_path / "app")
    return tmp_path / "app"


@pytest.fixture
def shell(folder: Path, world: dict[str, str]) -> Run:
    """Runs commands in the folder. What they download and build is kept where the next run finds it."""
    programs = folder.parent / "programs"
    own = {
        # Beside python are buf, and protoc by its Python name.
        "PATH": os.pathsep.join((str(programs), str(Path(sys.executable).parent), os.environ["PATH"])),
        "GOBIN": str(programs),
        "PROTOC": "python-grpc-tools-protoc",
        "PIP_CONSTRAINT": str(REPOSITORY / "requirements.lock"),
        "CARGO_TARGET_DIR": str(CLIENTS / "rust" / "target" / "docs"),
        "CARGO_PROFILE_DEV_DEBUG": "0",
        "npm_config_audit": "false",
        "npm_config_ignore_scripts": "true",
    }
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | own | world

    def run(commands: str, **settings: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            ["bash", "-ec", commands],
            cwd=folder,
            env=environment | settings,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=STEP_SECONDS,
            check=False,
        )

    return run


@pytest.mark.parametrize("name", LANGUAGES)
def test_the_program_of_the_page_runs_in_a_folder_of_its_own(
    name: str, folder: Path, world: dict[str, str], shell: Run
) -> None:
    missing = [tool for tool in LANGUAGES[name].tools if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"{name}: this machine has no {', '.join(missing)}")
    if name == "Rust":
        # So that a new release of some crate does not build everything anew.
        subprocess.run(["make", "-s", "-C", str(CLIENTS / "rust"), "Cargo.lock"], check=True)
        shutil.copy(CLIENTS / "rust" / "Cargo.lock", folder)
    for path, text in FILE.findall(section(name)):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    [commands] = COMMANDS.findall(section(name))
    ran = shell(commands)
    assert ran.returncode == 0, ran.stdout[-4000:] + ran.stderr[-4000:]
    assert f"\n{world['ANSWER']}" in f"\n{ran.stdout}", ran.stdout[-4000:]
    # The last command alone is the program.
    refused = shell(commands.splitlines()[-1], HITCHPOST_KEY="hp_wrong")
    assert "ERROR_REASON_API_KEY_INVALID" in refused.stdout + refused.stderr, refused.stderr[-4000:]


@pytest.mark.parametrize("name", [name for name, language in LANGUAGES.items() if language.versions])
def test_the_page_has_the_versions_of_our_own_clients(name: str) -> None:
    file = LANGUAGES[name].versions
    ours = (CLIENTS / name.lower() / file).read_text()
    versions = set(re.findall(r"\d+(?:\.[\w-]+)+", dict(FILE.findall(section(name)))[file]))
    assert len(versions) > 1
    assert {version for version in versions if version not in ours} <= ONLY_ON_THE_PAGE
