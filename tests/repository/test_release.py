"""The version stands in one place, and a release writes it wherever it is repeated."""

import re
import subprocess
import sys
import tomllib
from datetime import date
from pathlib import Path

import pytest
import yaml

from server.base.version import VERSION
from tests.kit.servers import REPOSITORY
from tools import release

DAY = date(2027, 3, 1)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The files that a release writes, with something new in the changelog."""
    for path in (release.VERSION_FILE, release.CHANGELOG, release.CHART):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text((REPOSITORY / path).read_text())
    changelog = tmp_path / release.CHANGELOG
    changelog.write_text(
        re.sub(r"^## Unreleased\n", "## Unreleased\n\n- News.\n", changelog.read_text(), flags=re.M)
    )
    return tmp_path


def versions(root: Path) -> set[str]:
    """What each file says."""
    chart = yaml.safe_load((root / release.CHART).read_text())
    newest = re.findall(r"^## (\d\S*) - \d{4}-\d\d-\d\d$", (root / release.CHANGELOG).read_text(), re.M)[0]
    [own] = re.findall(r'^VERSION = "(.+)"$', (root / release.VERSION_FILE).read_text(), re.M)
    return {chart["version"], chart["appVersion"], newest, own}


def test_all_places_say_the_same() -> None:
    assert versions(REPOSITORY) == {VERSION}
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    assert "version" in project["project"]["dynamic"]
    assert project["tool"]["hatch"]["version"]["path"] == str(release.VERSION_FILE)


def test_a_release_writes_every_place(root: Path) -> None:
    release.release(root, "987.0.1", DAY)
    assert versions(root) == {"987.0.1"}
    changelog = (root / release.CHANGELOG).read_text()
    assert "## Unreleased\n\n## 987.0.1 - 2027-03-01\n\n- News.\n" in changelog
    with pytest.raises(release.Refused, match="nothing below Unreleased"):
        release.release(root, "987.0.2", DAY)


@pytest.mark.parametrize("version", [VERSION, "0.0.9", "987", "987.0.1rc1", "v987.0.1", ""])
def test_what_is_no_next_version_is_refused(root: Path, version: str) -> None:
    before = {path: path.read_text() for path in root.rglob("*") if path.is_file()}
    with pytest.raises(release.Refused, match="no version after"):
        release.release(root, version, DAY)
    assert {path: path.read_text() for path in before} == before


def test_the_command_says_what_it_wants() -> None:
    ran = subprocess.run([sys.executable, "tools/release.py"], cwd=REPOSITORY, capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (2, "say which version: make release VERSION=0.2.0\n")
