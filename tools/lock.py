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
BENCH_LOCK = ROOT / "benchmarks" / "requirements.lock"
BENCH_HEADER = "# What the benchmarks need beside ../requirements.lock. Written by `make lock`.\n"
DEPLOY_LOCK = ROOT / "deploy" / "requirements.lock"
DEPLOY_HEADER = "# What the checks of deploy/ need beside ../requirements.lock. Written by `make lock`.\n"


def main() -> None:
    """Installs the newest allowed versions into new environments, and notes what came."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = project["dependency-groups"]
    served = [*project["project"]["dependencies"], *project["project"]["optional-dependencies"]["embedded"]]
    everything = _installed([*served, *groups["dev"]])
    LOCK.write_text(HEADER + "".join(everything))
    for lock, header, group in (
        (DEPLOY_LOCK, DEPLOY_HEADER, groups["deploy"]),
        (BENCH_LOCK, BENCH_HEADER, groups["bench"]),
    ):
        further = _installed(["--constraint", str(LOCK), *group])
        lock.write_text(header + "".join(line for line in further if line not in everything))


def _installed(wanted: list[str]) -> list[str]:
    """What pip has installed into a new environment when it was asked for these."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        pip = [str(Path(folder) / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
        subprocess.run([*pip, "install", "--quiet", *wanted], check=True)
        freeze = [*pip, "freeze", "--exclude", "pip", "--exclude", "setuptools"]
        frozen = subprocess.run(freeze, check=True, capture_output=True, text=True).stdout
    return sorted(frozen.splitlines(keepends=True), key=str.lower)


if __name__ == "__main__":
    sys.exit(main())
