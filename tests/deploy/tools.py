"""The programs that know the formats in deploy/: `make lint-deploy` installs them."""

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from server.config import Settings
from tests.kit.servers import REPOSITORY

DEPLOY = REPOSITORY / "deploy"
SETTINGS = {f"HITCHPOST_{name.upper()}" for name in Settings.model_fields}
SECONDS = 120
# Those of PyPI are beside python, those of Go in a folder of the environment.
_PROGRAMS = (Path(sys.executable).parent, Path(sys.prefix, "deploy"))
_PATH = os.pathsep.join([*map(str, _PROGRAMS), os.environ["PATH"]])


def program(name: str) -> str:
    """Where it is; without it the test is skipped."""
    found = shutil.which(name, path=_PATH)
    if found is None:
        pytest.skip(f"this machine has no {name}")
    return found


def run(name: str, *arguments: str, text: str | None = None, folder: Path = REPOSITORY) -> str:
    """What the program prints; fails the test with what it says when it is not content."""
    ran = attempt(name, *arguments, text=text, folder=folder)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def attempt(
    name: str, *arguments: str, text: str | None = None, folder: Path = REPOSITORY
) -> "subprocess.CompletedProcess[str]":
    """The same, whatever it says."""
    return subprocess.run(
        [program(name), *arguments],
        input=text,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def kubernetes_schemas(version: str, into: Path) -> Path:
    """The schemas of a version of Kubernetes, in which references are to the files beside them."""
    package = find_spec("kubernetes_validate")
    if package is None or package.origin is None:
        pytest.skip("kubernetes-validate is not installed")
    origin = Path(package.origin).parent / "kubernetes-json-schema" / f"v{version}-local-strict"
    into.mkdir()
    for file in origin.glob("*.json"):
        text = file.read_text().replace('"/api/_definitions.json#', '"_definitions.json#')
        schema: dict[str, Any] = json.loads(text)
        # An address on the internet, which references would count from.
        schema.pop("$id", None)
        (into / file.name).write_text(json.dumps(schema))
    return into
