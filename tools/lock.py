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
<<<<<<< HEAD
# By their groups of dependencies.
FURTHER = {
    "bench": (
        ROOT / "benchmarks" / "requirements.lock",
        "# What the benchmarks need beside ../requirements.lock. Written by `make lock`.\n",
    ),
    "docs": (
        ROOT / "docs" / "requirements.lock",
        "# What the site needs beside ../requirements.lock. Written by `make lock`.\n",
    ),
}
=======
BENCH_LOCK = ROOT / "benchmarks" / "requirements.lock"
EDGE_LOCK = ROOT / "deploy" / "envoy" / "requirements.lock"
EDGE_HEADER = "# What `make edge` needs beside ../../requirements.lock. Written by `make lock`.\n"
BENCH_HEADER = "# What the benchmarks need beside ../requirements.lock. Written by `make lock`.\n"
>>>>>>> main


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
<<<<<<< HEAD
        subprocess.run([*pip, "install", "--quiet", *wanted], check=True)
        freeze = [*pip, "freeze", "--exclude", "pip", "--exclude", "setuptools"]
        frozen = subprocess.run(freeze, check=True, capture_output=True, text=True).stdout
=======
        everything = _installed(pip, [*served, *groups["dev"]])
        LOCK.write_text(HEADER + "".join(everything))
        for lock, header, group in ((EDGE_LOCK, EDGE_HEADER, "edge"), (BENCH_LOCK, BENCH_HEADER, "bench")):
            # What the group before has brought is none of this one's.
            further = _installed(pip, ["--constraint", str(LOCK), *groups[group]])
            lock.write_text(header + "".join(line for line in further if line not in everything))
            everything = [*everything, *further]


def _installed(pip: list[str], wanted: list[str]) -> list[str]:
    subprocess.run([*pip, "install", "--quiet", *wanted], check=True)
    freeze = [*pip, "freeze", "--exclude", "pip", "--exclude", "setuptools"]
    frozen = subprocess.run(freeze, check=True, capture_output=True, text=True).stdout
>>>>>>> main
    return sorted(frozen.splitlines(keepends=True), key=str.lower)


if __name__ == "__main__":
    sys.exit(main())
