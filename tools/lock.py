"""Writes the lock files: exact versions of what pyproject.toml asks for; run by `make lock`."""

import subprocess
import sys
import tempfile
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements.lock"
HEADER = "# Exact versions of everything, for every environment. Written by `make lock`.\n"
# By their groups of dependencies.
FURTHER = {
    "bench": (
        ROOT / "benchmarks" / "requirements.lock",
        "# What the benchmarks need beside ../requirements.lock. Written by `make lock`.\n",
    ),
    "edge": (
        ROOT / "deploy" / "envoy" / "requirements.lock",
        "# What `make edge` needs beside ../../requirements.lock. Written by `make lock`.\n",
    ),
    "docs": (
        ROOT / "docs" / "requirements.lock",
        "# What the site needs beside ../requirements.lock. Written by `make lock`.\n",
    ),
}


def main() -> None:
    """Installs the newest allowed versions into new environments, and notes what came."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = project["dependency-groups"]
    served = [*project["project"]["dependencies"], *project["project"]["optional-dependencies"]["embedded"]]
    everything = _installed([*served, *groups["dev"]])
    LOCK.write_text(HEADER + "".join(everything))
    for group, (lock, header) in FURTHER.items():
        further = _installed(["--constraint", str(LOCK), *groups[group]])
        lock.write_text(header + "".join(line for line in further if line not in everything))


def _installed(wanted: list[str]) -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        pip = [str(Path(folder) / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
        subprocess.run([*pip, "install", "--quiet", *wanted], check=True)
        freeze = [*pip, "freeze", "--exclude", "pip", "--exclude", "setuptools"]
        frozen = subprocess.run(freeze, check=True, capture_output=True, text=True).stdout
    return sorted(frozen.splitlines(keepends=True), key=str.lower)


if __name__ == "__main__":
    sys.exit(main())
