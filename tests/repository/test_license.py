"""Whoever gets Hitchpost may use it: repository and wheel have its license, and SECURITY.md is findable."""

import hashlib
import re
import subprocess
import sys
import zipfile
from email.parser import HeaderParser
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from tests.kit.servers import REPOSITORY, environment
from tests.kit.support import unique

# Of https://www.apache.org/licenses/LICENSE-2.0.txt
APACHE_2_0 = "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"
LICENSE = REPOSITORY / "LICENSE"


@pytest.fixture(scope="module")
def wheel(run_dir: Path) -> zipfile.ZipFile:
    """What `pip install .` builds and installs."""
    folder = run_dir / unique("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(build, cwd=REPOSITORY, check=True, capture_output=True, timeout=120)
    [path] = folder.glob("*.whl")
    return zipfile.ZipFile(path)


def test_the_license_is_the_apache_license_to_the_letter() -> None:
    assert hashlib.sha256(LICENSE.read_bytes()).hexdigest() == APACHE_2_0


def test_the_wheel_has_the_license_and_names_it(wheel: zipfile.ZipFile) -> None:
    [name] = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    metadata = HeaderParser().parsestr(wheel.read(name).decode())
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata.get_all("License-File") == ["LICENSE"]
    assert wheel.read(name.replace("METADATA", "licenses/LICENSE")) == LICENSE.read_bytes()


def test_the_command_that_makes_an_encryption_key_is_in_the_wheel(
    wheel: zipfile.ZipFile, tmp_path: Path
) -> None:
    wheel.extractall(tmp_path)
    [entry_points] = tmp_path.glob("*.dist-info/entry_points.txt")
    assert "hitchpost = server.cli:main" in entry_points.read_text()
    command = [sys.executable, "-m", "server", "generate-encryption-key"]
    Fernet(subprocess.check_output(command, cwd=tmp_path, env=environment(), timeout=60).strip())


def test_how_to_report_a_vulnerability_is_said_and_found() -> None:
    security = (REPOSITORY / "SECURITY.md").read_text()
    assert "private" in security
    assert "versions" in security
    assert not re.search(r"\S@\S", security), "an address that nobody reads"
    readme = (REPOSITORY / "README.md").read_text()
    assert "[SECURITY.md](SECURITY.md)" in readme
    assert "[LICENSE](LICENSE)" in readme
