"""deploy/compose.yaml: the loader of Docker Compose takes it, and it keeps what it promises."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from server.config import Settings
from tests.deploy import tools

FILE = tools.DEPLOY / "compose.yaml"
TEXT = FILE.read_text()
EXAMPLE = dict(
    line.split("=", 1)
    for line in (tools.DEPLOY / "compose.env.example").read_text().splitlines()
    if line and not line.startswith("#")
)
VARIABLE = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    """As YAML reads them."""
    loaded: dict[str, Any] = yaml.safe_load(TEXT)["services"]
    return loaded


def test_the_loader_of_compose_takes_it(tmp_path: Path) -> None:
    shutil.copytree(tools.DEPLOY / "compose", tmp_path / "compose")
    file = tmp_path / "compose.yaml"
    file.write_text(
        VARIABLE.sub(lambda found: (found[3] if found[2] == "-" else EXAMPLE[found[1]]) or "secret", TEXT)
    )
    tools.run("cmd", "-no-interpolation", str(file))
    file.write_text(file.read_text().replace("read_only: true", "readonly: true"))
    assert tools.attempt("cmd", "-no-interpolation", str(file)).returncode != 0


def test_what_has_to_be_given_is_in_the_example() -> None:
    asked = {found[1] for found in VARIABLE.finditer(TEXT) if found[2] != "-"}
    by_secrets = set(re.findall(r"^    environment: (\w+)$", TEXT, re.MULTILINE))
    assert asked | by_secrets == set(EXAMPLE)
    assert not any(value for name, value in EXAMPLE.items() if name != "HITCHPOST_PUBLIC_URL")


def test_our_services_have_no_rights_and_settings_that_there_are(services: dict[str, Any]) -> None:
    ours = {name: service for name, service in services.items() if name != "db"}
    assert set(ours) == {"migrate", "grpc", "web", "worker"}
    for service in ours.values():
        assert (service["read_only"], service["tmpfs"]) == (True, ["/tmp"])
        assert (service["cap_drop"], service["security_opt"]) == (["ALL"], ["no-new-privileges:true"])
        settings = {name for name in service["environment"] if name.startswith("HITCHPOST_")}
        assert settings <= tools.SETTINGS
        drain = Settings.model_fields["drain_timeout"].default.total_seconds()
        assert int(service["stop_grace_period"].removesuffix("s")) > drain + 5


@pytest.mark.parametrize("role", ["grpc", "web", "worker"])
def test_a_role_starts_when_the_database_is_migrated(services: dict[str, Any], role: str) -> None:
    service = services[role]
    assert service["command"] == ["serve", "--role", role]
    assert service["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}
    assert service["healthcheck"]["test"] == ["CMD", "hitchpost", "probe", "--role", role]
    assert services["migrate"]["depends_on"]["db"] == {"condition": "service_healthy"}
