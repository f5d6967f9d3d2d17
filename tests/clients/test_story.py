"""The story in every language that this machine has: each client must pass every step of cases/story.yaml."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.kit.certificates import Authority
from tests.kit.servers import REPOSITORY, local_channel, serving

CLIENTS = Path(__file__).parent
STORY = REPOSITORY / "tests" / "cases" / "story.yaml"
CHAPTERS: list[dict[str, object]] = yaml.safe_load(STORY.read_text())
STEPS = [str(chapter["step"]) for chapter in CHAPTERS]
# HTTP has no deadline that a server is told of, and REST no stream to cancel; TLS is that of the gRPC port.
ONLY_GRPC = frozenset({"deadline", "cancellation", "tls", "tls_without_ca"})
BUILD_SECONDS = 900
RUN_SECONDS = 120


@dataclass(frozen=True)
class Language:
    """What a language's toolchain is, how it builds and runs its client, in the client's folder, and which
    steps it leaves out."""

    tools: list[str]
    build: list[list[str]]
    run: list[str]
    leaves_out: frozenset[str] = frozenset()

    def mark(self, step: str, passed: list[str]) -> str:
        """What the table has for a step."""
        return "ok" if step in passed else "left out" if step in self.leaves_out else "-"


LANGUAGES = {
    "python": Language([], [], [sys.executable, "-m", "tests.clients.python.story"]),
    "go": Language(["go"], [["make", "build"]], ["./story"]),
    "typescript": Language(["node", "npm"], [["make", "build"]], ["node", "dist/story.js"]),
    "java": Language(["java", "mvn"], [["make", "build"]], ["java", "-jar", "target/story.jar"]),
    "rust": Language(["cargo"], [["make", "build"]], ["target/release/story"]),
    "rest": Language(["node", "npm"], [["make", "build"]], ["node", "dist/story.js"], leaves_out=ONLY_GRPC),
}
passed: dict[str, list[str]] = {}


@pytest.fixture(scope="module")
def story(run_dir: Path, new_database: Callable[[], str]) -> Iterator[dict[str, str]]:
    """The environment of a client: a server in the clear, and one of the same database over TLS."""
    authority, url = Authority("the team's own CA"), new_database()
    identity = authority.identity("server")
    files = {"ca": authority.certificate, "cert": identity.certificate, "key": identity.key}
    for name, pem in files.items():
        (run_dir / f"{name}.pem").write_bytes(pem)
    tls = {"tls_cert": str(run_dir / "cert.pem"), "tls_key": str(run_dir / "key.pem")}
    # In dev mode a browser may be sent back to this machine.
    dev = {"dev_mode": "true", "data_dir": str(run_dir)}
    with (
        serving(run_dir, url, **dev) as plain,
        # One installation: the workers of both publish where browsers look.
        serving(run_dir, url, **tls, public_url=plain.web_url) as secure,
    ):
        with local_channel(plain.address) as channel:
            key = plain.new_client(channel).key
        yield {
            "HITCHPOST_ADDRESS": plain.address,
            "HITCHPOST_TLS_ADDRESS": secure.address,
            "HITCHPOST_WEB_URL": plain.web_url,
            "HITCHPOST_CA_FILE": str(run_dir / "ca.pem"),
            "HITCHPOST_KEY": key or "",
        }


@pytest.fixture(scope="module", autouse=True)
def _table() -> Iterator[None]:
    """Prints which language has passed which step."""
    yield
    print(f"\n{'step':<22}" + "".join(f"{name:<12}" for name in LANGUAGES))
    for step in STEPS:
        marks = (language.mark(step, passed.get(name, [])) for name, language in LANGUAGES.items())
        print(f"{step:<22}" + "".join(f"{mark:<12}" for mark in marks))


@pytest.mark.parametrize("name", LANGUAGES)
def test_the_story(name: str, story: dict[str, str], tmp_path: Path) -> None:
    language = LANGUAGES[name]
    assert language.leaves_out <= set(STEPS)
    missing = [tool for tool in language.tools if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"{name}: this machine has no {', '.join(missing)}")
    folder = REPOSITORY if name == "python" else CLIENTS / name
    chapters = [chapter for chapter in CHAPTERS if chapter["step"] not in language.leaves_out]
    (tmp_path / "story.yaml").write_text(yaml.safe_dump(chapters))
    # Beside python are the programs of this environment: buf, and protoc by its Python name.
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    environment = os.environ | {"PATH": path, "GRPC_VERBOSITY": "NONE"} | story
    environment["HITCHPOST_STORY"] = str(tmp_path / "story.yaml")
    for command in language.build:
        built = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=BUILD_SECONDS
        )
        assert built.returncode == 0, built.stdout[-4000:] + built.stderr[-4000:]
    ran = subprocess.run(
        language.run, cwd=folder, env=environment, capture_output=True, text=True, timeout=RUN_SECONDS
    )
    words = [line.split() for line in ran.stdout.splitlines()]
    passed[name] = [word[1] for word in words if len(word) == 3 and (word[0], word[2]) == ("step", "ok")]
    assert ran.returncode == 0, ran.stdout[-4000:] + ran.stderr[-4000:]
    assert passed[name] == [chapter["step"] for chapter in chapters]
