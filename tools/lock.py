"""Writes requirements.lock: the exact versions of everything pyproject.toml asks for; run by `make lock`."""

import subprocess
import sys
import tempfile
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements.lock"
HEADER = "# Exact versions of everything, for every environment. Written by `make lock`.\n"


def main() -> None:
    """Installs the newest allowed versions into a new environment, and notes what came."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]]
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        pip = [str(Path(folder) / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
        subprocess.run([*pip, "install", "--quiet", *wanted], check=True)
        frozen = subprocess.run(
            [*pip, "freeze", "--exclude", "pip", "--exclude", "setuptools"],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
    LOCK.write_text(HEADER + "".join(sorted(frozen.splitlines(keepends=True), key=str.lower)))


if __name__ == "__main__":
    sys.exit(main())
