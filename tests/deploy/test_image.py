"""The Dockerfile: what its linter says, and that the image gets what the wheel is made of and no more."""

import re
import tomllib

from tests.deploy import tools
from tests.kit.servers import REPOSITORY

DOCKERFILE = (REPOSITORY / "Dockerfile").read_text()


def test_the_linter_finds_nothing_to_complain_about() -> None:
    tools.run("hadolint", "Dockerfile")


def test_only_what_the_wheel_is_made_of_is_sent_to_the_builder() -> None:
    sent = set(re.findall(r"^!(.*)$", (REPOSITORY / ".dockerignore").read_text(), re.MULTILINE))
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    packed = set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"])
    assert sent == packed | {"LICENSE", "README.md", "pyproject.toml", "requirements.lock"}


def test_it_runs_as_nobody_with_known_versions_and_a_probe() -> None:
    stages = DOCKERFILE.split("\nFROM ")
    assert re.search(r"^USER [1-9]\d+:[1-9]\d+$", stages[-1], re.MULTILINE)
    assert 'CMD ["hitchpost", "probe"]' in stages[-1]
    installs = re.findall(r"pip[^&]* install [^&]*", DOCKERFILE)
    assert len(installs) == 2
    assert all("--constraint requirements.lock" in one and "--only-binary=:all:" in one for one in installs)
    # The same in both stages, or the environment would not fit.
    assert len(set(re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE))) == 1
    assert set(re.findall(r"HITCHPOST_\w+", DOCKERFILE)) <= tools.SETTINGS
