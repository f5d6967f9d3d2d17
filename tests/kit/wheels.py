"""The wheels of this repository, built and installed where nothing else of ours is."""

import subprocess
import sys
import venv
from pathlib import Path
from sysconfig import get_path

from tests.kit.servers import REPOSITORY

SERVER, CLIENT = REPOSITORY, REPOSITORY / "packages" / "client"
PROJECTS = (SERVER, CLIENT)
SECONDS = 300


def build(project: Path, into: Path) -> Path:
    """The wheel of a project."""
    target = ["--target", "wheel", "--directory", str(into.resolve())]
    hatchling = [sys.executable, "-m", "hatchling", "build", *target]
    subprocess.run(hatchling, cwd=project, check=True, capture_output=True, timeout=SECONDS)
    [wheel] = into.glob("hitchpost_client-*.whl" if project == CLIENT else "hitchpost-*.whl")
    return wheel


def new_environment(folder: Path, *wheels: Path) -> Path:
    """A new virtual environment with these, and with what they need from our own.

    Returns where its programs are.
    The folder of our own packages is on its path, but not what .pth files there add, such as this repository.
    """
    venv.create(folder, with_pip=False, symlinks=True)
    programs = folder / "bin"
    pip = [sys.executable, "-m", "pip", "--python", str(programs / "python"), "--disable-pip-version-check"]
    install = [*pip, "install", "--quiet", "--no-deps", "--no-index", *map(str, wheels)]
    subprocess.run(install, check=True, timeout=SECONDS)
    packages_of(folder).joinpath("ours.pth").write_text(get_path("purelib"))
    return programs


def packages_of(environment: Path) -> Path:
    """Where its packages are."""
    [packages] = environment.glob("lib/python*/site-packages")
    return packages
