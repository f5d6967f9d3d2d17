"""Dev mode is no accident: no misspelt name starts it, nor production settings, and it says its name."""

import os
import pty
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from server.config import Settings
from server.run import mistakes
from tests.conftest import ENCRYPTION_KEY
from tests.kit.servers import (
    REPOSITORY,
    Server,
    eventually,
    new_server,
    printed,
    refused,
    serving,
)
from tests.kit.support import unique

URL = "postgresql://hitchpost:do-not-print-me@127.0.0.1:1/hitchpost"
PRODUCTION = {"public_url": "https://hitchpost.example.com", "encryption_keys": ENCRYPTION_KEY}


@pytest.fixture
def data_dir(run_dir: Path) -> Path:
    """A data folder that does not exist yet."""
    return run_dir / unique("data")


def test_with_a_database_of_ones_own_the_data_folder_is_made(
    data_dir: Path, run_dir: Path, new_database: Callable[[], str]
) -> None:
    settings = {"dev_mode": "true", "data_dir": str(data_dir), "encryption_keys": ""}
    with serving(run_dir, new_database(), **settings):
        assert {path.name: path.stat().st_mode & 0o777 for path in data_dir.iterdir()} == {
            "dev-api-key": 0o600,
            "encryption-key": 0o600,
        }


# Names that nothing reads.


def test_a_misspelt_database_url_is_refused_by_name_and_starts_nothing(data_dir: Path) -> None:
    settings = {**new_server(data_dir, None).settings, "data_dir": str(data_dir), **PRODUCTION}
    said = refused("serve", **settings, databse_url=URL)
    assert said == (
        "hitchpost: there is no setting HITCHPOST_DATABSE_URL (did you mean HITCHPOST_DATABASE_URL?)"
    )
    assert not data_dir.exists()


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("db_url", "DATABASE_URL"),
        ("databaseurl", "DATABASE_URL"),
        ("database", "DATABASE_URL"),
        ("encryption_key", "ENCRYPTION_KEYS"),
        ("grpc_adress", "GRPC_ADDRESS"),
        ("tls_certificate", "TLS_CERT"),
        ("loglevel", "LOG_LEVEL"),
        ("devmode", "DEV_MODE"),
    ],
)
def test_the_nearest_setting_is_suggested(name: str, meant: str) -> None:
    unknown = f"HITCHPOST_{name.upper()}"
    with pytest.raises(mistakes.SettingsRefused, match=rf"{unknown} \(did you mean HITCHPOST_{meant}\?\)"):
        mistakes.refuse_unknown({unknown: "1"})


def test_every_unknown_setting_is_named_whatever_its_case_and_value() -> None:
    unknown = {"HITCHPOST_COLOUR": "", "hitchpost_databse_url": URL, "HITCHPOST_PORT": "8080"}
    with pytest.raises(mistakes.SettingsRefused) as refusal:
        mistakes.refuse_unknown(unknown)
    assert re.findall(r"no setting (\w+)", str(refusal.value)) == sorted(unknown)
    assert "do-not-print-me" not in str(refusal.value)


def test_every_setting_is_known_and_other_programs_variables_are_none_of_ours() -> None:
    settings = [f"HITCHPOST_{name.upper()}" for name in Settings.model_fields]
    mistakes.refuse_unknown(dict.fromkeys([*settings, *map(str.lower, settings), "PATH", "HITCH"], "x"))


def test_what_the_clients_page_sets_in_a_shell_is_known() -> None:
    page = (REPOSITORY / "docs" / "clients.md").read_text()
    read_there = set(re.findall(r"HITCHPOST_\w+", page))
    assert "HITCHPOST_KEY" in read_there
    mistakes.refuse_unknown(dict.fromkeys(read_there, "x"))


def test_what_kubernetes_sets_for_services_named_hitchpost_is_known() -> None:
    # https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
    for prefix in ("HITCHPOST", "HITCHPOST_WEB"):
        mistakes.refuse_unknown(
            {
                f"{prefix}_SERVICE_HOST": "10.0.0.11",
                f"{prefix}_SERVICE_PORT": "50051",
                f"{prefix}_SERVICE_PORT_GRPC": "50051",
                f"{prefix}_PORT": "tcp://10.0.0.11:50051",
                f"{prefix}_PORT_50051_TCP": "tcp://10.0.0.11:50051",
                f"{prefix}_PORT_50051_TCP_PROTO": "tcp",
                f"{prefix}_PORT_50051_TCP_PORT": "50051",
                f"{prefix}_PORT_50051_TCP_ADDR": "10.0.0.11",
            }
        )


# Dev mode beside production settings.


SIGNS = [
    {"public_url": "https://hitchpost.example.com"},
    {"public_url": "http://hitchpost.internal"},
    {"callback_url": "https://app.example.com/connected"},
    {"encryption_keys": ENCRYPTION_KEY},
    {"tls_cert": __file__, "tls_key": __file__},
    {"grpc_address": "0.0.0.0:50051"},
    {"grpc_address": "[::]:50051"},
    {"web_address": "hitchpost.internal:8080"},
    {"dev_mode": "false"},
]


@pytest.mark.parametrize("signs", SIGNS, ids=lambda signs: "-".join(signs))
def test_dev_mode_beside_production_settings_has_to_be_asked_for(
    signs: dict[str, str], data_dir: Path
) -> None:
    said = refused("migrate", data_dir=str(data_dir), **signs)
    assert all(f"HITCHPOST_{name.upper()}" in said for name in signs)
    assert "set HITCHPOST_DATABASE_URL" in said
    assert "HITCHPOST_DEV_MODE=true" in said
    assert ENCRYPTION_KEY not in said
    assert not data_dir.exists()


def test_serve_refuses_dev_mode_beside_production_settings(data_dir: Path) -> None:
    settings = {**new_server(data_dir, None).settings, "data_dir": str(data_dir), **PRODUCTION}
    said = refused("serve", **settings)
    assert "HITCHPOST_PUBLIC_URL and HITCHPOST_ENCRYPTION_KEYS" in said
    assert not data_dir.exists()


def test_dev_mode_that_was_asked_for_may_have_any_settings(data_dir: Path) -> None:
    asked = {**PRODUCTION, "grpc_address": "0.0.0.0:50051", "dev_mode": "true"}
    assert printed("migrate", data_dir=str(data_dir), **asked).startswith("applied: ")


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"public_url": "http://localhost:9000"},
        {"callback_url": "http://127.0.0.1:3000/connected"},
        {"public_url": "http://[::1]:8080"},
        {"grpc_address": "localhost:1", "web_address": "127.0.0.2:2"},
        {"grpc_address": "[::1]:1"},
        {"sandbox": True, "workers": 1},
        {"database_url": URL, **PRODUCTION, "grpc_address": "0.0.0.0:1"},
        {"database_url": URL, "dev_mode": False},
    ],
)
def test_what_says_nothing_of_production_starts(settings: dict[str, str]) -> None:
    mistakes.refuse_accidental_dev_mode(Settings(**settings))


# The banner.


@contextmanager
def banner_on_a_terminal(server: Server) -> Iterator[str]:
    """Runs the server with a terminal for its stdout; what it prints there."""
    terminal, stdout = pty.openpty()
    os.set_blocking(terminal, False)
    seen = bytearray()

    def ready() -> bool:
        try:
            seen.extend(os.read(terminal, 65_536))
        except BlockingIOError:
            assert server.process.poll() is None, server.log.read_text()
        return b"ListSocialAccounts" in seen

    server.start(stdout)
    try:
        eventually("the banner", ready, 60)
        yield seen.decode()
        assert server.stop() == 0, server.log.read_text()
    finally:
        server.kill()
        os.close(stdout)
        os.close(terminal)


def test_the_dev_key_is_printed_on_a_terminal_only(
    run_dir: Path, data_dir: Path, new_database: Callable[[], str]
) -> None:
    data_dir.mkdir()
    url, settings = new_database(), {"dev_mode": "true", "data_dir": str(data_dir)}
    with serving(run_dir, url, **settings) as server:
        key_file = data_dir / "dev-api-key"
        key = key_file.read_text().strip()
        piped = server.output.read_text()
        assert f"  dev key  in {key_file}\n" in piped
        assert key not in piped + server.log.read_text()
    with banner_on_a_terminal(new_server(run_dir, url, **settings)) as shown:
        assert f"  dev key  {key}\r\n" in shown


def test_the_banner_says_dev_mode_in_dev_mode_only(
    run_dir: Path, data_dir: Path, new_database: Callable[[], str]
) -> None:
    data_dir.mkdir()
    url = new_database()
    with serving(run_dir, url, dev_mode="true", data_dir=str(data_dir)) as server:
        ready, dev_mode, *_ = server.output.read_text().splitlines()
        assert ready == "Hitchpost is ready."
        assert dev_mode.startswith("*** DEV MODE")
    with serving(run_dir, url) as server:
        assert "DEV MODE" not in server.output.read_text()
