"""Whoever gets Hitchpost may use it: repository and wheels have its license, and SECURITY.md is findable."""

import hashlib
import re
import zipfile
from email.parser import HeaderParser
from pathlib import Path

import pytest

from tests.kit import wheels
from tests.kit.servers import REPOSITORY
from tests.kit.support import unique

# Of https://www.apache.org/licenses/LICENSE-2.0.txt
APACHE_2_0 = "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"
LICENSE = REPOSITORY / "LICENSE"


@pytest.fixture(scope="module", params=wheels.PROJECTS, ids=lambda folder: folder.name)
def wheel(request: pytest.FixtureRequest, run_dir: Path) -> zipfile.ZipFile:
    """What is built and installed."""
    return zipfile.ZipFile(wheels.build(request.param, run_dir / unique("wheel")))


def test_the_license_is_the_apache_license_to_the_letter() -> None:
    assert hashlib.sha256(LICENSE.read_bytes()).hexdigest() == APACHE_2_0


def test_each_wheel_has_the_license_and_names_it(wheel: zipfile.ZipFile) -> None:
    [name] = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    metadata = HeaderParser().parsestr(wheel.read(name).decode())
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata.get_all("License-File") == ["LICENSE"]
    assert wheel.read(name.replace("METADATA", "licenses/LICENSE")) == LICENSE.read_bytes()


def test_how_to_report_a_vulnerability_is_said_and_found() -> None:
    security = (REPOSITORY / "SECURITY.md").read_text()
    assert "private" in security
    assert "versions" in security
    assert not re.search(r"\S@\S", security), "an address that nobody reads"
    readme = (REPOSITORY / "README.md").read_text()
    assert "[SECURITY.md](SECURITY.md)" in readme
    assert "[LICENSE](LICENSE)" in readme
