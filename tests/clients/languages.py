"""The clients of the story: what each needs, how it is built, and what it has passed."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.kit.servers import REPOSITORY

CLIENTS = Path(__file__).parent
STORY = REPOSITORY / "tests" / "cases" / "story.yaml"
CHAPTERS: list[dict[str, object]] = yaml.safe_load(STORY.read_text())
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

    @property
    def steps(self) -> list[str]:
        """Those that it plays."""
        return [str(chapter["step"]) for chapter in CHAPTERS if chapter["step"] not in self.leaves_out]


LANGUAGES = {
    "python": Language([], [], [sys.executable, "-m", "tests.clients.python.story"]),
    "go": Language(["go"], [["make", "build"]], ["./story"]),
    "typescript": Language(["node", "npm"], [["make", "build"]], ["node", "dist/story.js"]),
    "java": Language(["java", "mvn"], [["make", "build"]], ["java", "-jar", "target/story.jar"]),
    "rust": Language(["cargo"], [["make", "build"]], ["target/release/story"]),
    "rest": Language(["node", "npm"], [["make", "build"]], ["node", "dist/story.js"], leaves_out=ONLY_GRPC),
}


@dataclass(frozen=True)
class Played:
    """How a client ended: its exit code, the steps that it has passed, and what it said."""

    code: int
    passed: list[str]
    said: str


def play(name: str, settings: dict[str, str], folder: Path) -> Played:
    """Builds the client and lets it play the story; `settings` are variables of its environment."""
    language = LANGUAGES[name]
    client = REPOSITORY if name == "python" else CLIENTS / name
    chapters = [chapter for chapter in CHAPTERS if chapter["step"] in language.steps]
    (folder / "story.yaml").write_text(yaml.safe_dump(chapters))
    # Beside python are the programs of this environment: buf, and protoc by its Python name.
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    environment = os.environ | {"PATH": path, "GRPC_VERBOSITY": "NONE"} | settings
    environment["HITCHPOST_STORY"] = str(folder / "story.yaml")
    for command in language.build:
        built = subprocess.run(
            command, cwd=client, env=environment, capture_output=True, text=True, timeout=BUILD_SECONDS
        )
        assert built.returncode == 0, built.stdout[-4000:] + built.stderr[-4000:]
    ran = subprocess.run(
        language.run, cwd=client, env=environment, capture_output=True, text=True, timeout=RUN_SECONDS
    )
    words = [line.split() for line in ran.stdout.splitlines()]
    passed = [word[1] for word in words if len(word) == 3 and (word[0], word[2]) == ("step", "ok")]
    return Played(ran.returncode, passed, ran.stdout[-4000:] + ran.stderr[-4000:])
