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
FURTHER = "# What {what} beside {lock}. Written by `make lock`.\n"
# A group of dependencies each, where its file is, and what needs it.
GROUPS = {
    "bench": ("benchmarks", "the benchmarks need"),
    "deploy": ("deploy", "the checks of deploy/ need"),
    "docs": ("docs", "the site needs"),
    "edge": ("deploy/envoy", "`make edge` needs"),
}


def main() -> None:
    """Installs the newest allowed versions into new environments, and notes what came."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = project["dependency-groups"]
    served = [*project["project"]["dependencies"], *project["project"]["optional-dependencies"]["embedded"]]
    everything = _installed([*served, *groups["dev"]])
    LOCK.write_text(HEADER + "".join(everything))
    for group, (folder, what) in GROUPS.items():
        further = _installed(["--constraint", str(LOCK), *groups[group]])
        header = FURTHER.format(what=what, lock=f"{'../' * len(Path(folder).parts)}requirements.lock")
        lock = ROOT / folder / "requirements.lock"
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
