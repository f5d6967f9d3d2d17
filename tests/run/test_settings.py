"""Each wrong setting is one line, in plain words: which variable, and what would be right."""

from pathlib import Path

import click
import pytest
from pydantic import SecretStr

from server.commands import setup
from server.config import LOG_LEVELS, Settings
from tests.conftest import ENCRYPTION_KEY
from tests.kit.servers import refused

SECRET = "do-not-print-me"
A_FILE = __file__
A_FILE_THAT_EXISTS = "must be the path of a file that exists"
A_BOOLEAN = "must be true or false"

# What is wrong for each setting, and what is then said behind its name.
WRONG = [
    ("database_url", f"mysql://hitchpost:{SECRET}@db/x", "must begin with postgresql://"),
    (
        "database_url",
        f"postgresql://u:{SECRET}@db:x/y",
        "must have a port from 1 to 65535, such as postgresql://",
    ),
    ("data_dir", A_FILE, "must be a folder, or the path of one that can be made"),
    ("data_dir", f"{A_FILE}/below", "must be a folder, or the path of one that can be made"),
    ("dev_mode", SECRET, A_BOOLEAN),
    ("grpc_address", SECRET, "must be host:port, such as 127.0.0.1:50051 or [::1]:50051"),
    ("grpc_own_ports", "0", "is 0; it must be a whole number from 1 to 65535"),
    ("grpc_own_ports", "127.0.0.1:50061", "must be a whole number from 1 to 65535"),
    ("web_address", "localhost:70000", "must be host:port, such as 127.0.0.1:50051 or [::1]:50051"),
    ("public_url", SECRET, "must begin with http:// or https://"),
    ("public_url", "https://", "must have a host, such as https://hitchpost.example.com"),
    ("callback_url", SECRET, "must begin with http:// or https://"),
    ("workers", "0", "is 0; it must be a whole number from 1 to 256"),
    ("workers", "257", "is 257; it must be a whole number from 1 to 256"),
    ("workers", SECRET, "must be a whole number from 1 to 256"),
    ("workers", "2.5", "must be a whole number from 1 to 256"),
    ("pin_workers", SECRET, A_BOOLEAN),
    ("web_workers", "0", "is 0; it must be a whole number from 1 to 256"),
    ("cors_origins", SECRET, "must be origins, such as https://app.example.com, joined by commas"),
    ("cors_origins", "https://a.example, https://b.example/", "must be origins, such as https://app.exam"),
    ("mcp_hosts", f"http://{SECRET}", "must be names of hosts, such as hitchpost.internal, joined by commas"),
    ("mcp_hosts", f"a.example, {SECRET}@b.example", "must be names of hosts, such as hitchpost.internal"),
    ("mcp_api_key", SECRET, "must be an API key, as hitchpost keys create prints it"),
    ("mcp_external_id", "x" * 256, "must have 1 to 255 characters"),
    ("threads", "1000", "is 1000; it must be a whole number from 1 to 64"),
    ("platform_threads", "65", "is 65; it must be a whole number from 1 to 64"),
    ("worker_threads", "0", "is 0; it must be a whole number from 1 to 64"),
    ("worker_address", SECRET, "must be host:port, such as 127.0.0.1:50051 or [::1]:50051"),
    ("metrics", SECRET, A_BOOLEAN),
    ("metrics_address", SECRET, "must be host:port, such as 127.0.0.1:50051 or [::1]:50051"),
    ("call_loop", SECRET, "must be own or grpc"),
    ("max_waiting_calls", "0", "is 0; it must be a whole number, 1 or more"),
    ("rate_limit", "0", "is 0; it must be a whole number, 1 or more"),
    ("rate_limit", "0.5", "must be a whole number, 1 or more"),
    ("rate_limit_burst", "0", "is 0; it must be a whole number, 1 or more"),
    ("encryption_keys", SECRET, "must be Fernet keys (32 bytes in URL-safe base64), joined by commas"),
    ("tls_cert", f"/{SECRET}.pem", A_FILE_THAT_EXISTS),
    ("tls_key", "/", A_FILE_THAT_EXISTS),
    ("tls_client_ca", f"/{SECRET}.pem", A_FILE_THAT_EXISTS),
    ("sandbox", SECRET, A_BOOLEAN),
    ("platforms_file", f"/{SECRET}.toml", A_FILE_THAT_EXISTS),
    ("platforms_file", A_FILE, "must be a file of platforms (docs/platforms.md)"),
    ("bluesky_key", f"/{SECRET}.pem", A_FILE_THAT_EXISTS),
    ("bluesky_key", A_FILE, "must be a PEM file with an EC private key of the curve P-256"),
    ("plc_url", SECRET, "must begin with http:// or https://"),
    ("name_server", SECRET, "must be host:port, such as 127.0.0.1:50051 or [::1]:50051"),
    ("name_server", "dns.example.com:53", "must be an IP address and a port, such as 192.0.2.53:53"),
    ("allow_private_addresses", SECRET, A_BOOLEAN),
    ("max_message_bytes", "1000", "is 1000; it must be a whole number, 65536 or more"),
    ("statement_timeout", "0", "is 0; it must be a number of seconds above 0"),
    ("statement_timeout", SECRET, "must be a number of seconds, such as 30"),
    ("drain_timeout", "-1.5", "is -1.5; it must be a number of seconds, 0 or more"),
    ("drain_timeout", "inf", "must be a number of seconds, such as 30"),
    ("log_level", SECRET, "must be one of DEBUG, INFO, WARNING, ERROR, in capital or small letters"),
]


def complaints(monkeypatch: pytest.MonkeyPatch, **settings: str) -> list[str]:
    """What an operator reads who has set these variables."""
    for name, value in settings.items():
        monkeypatch.setenv(f"HITCHPOST_{name.upper()}", value)
    with pytest.raises(click.ClickException) as raised:
        setup.read_settings()
    return raised.value.message.splitlines()


@pytest.mark.parametrize(("name", "value", "said"), WRONG)
def test_a_wrong_setting_is_said_in_plain_words(
    name: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    [line] = complaints(monkeypatch, **{name: value})
    assert line.startswith(f"HITCHPOST_{name.upper()} {said}")
    assert SECRET not in line
    for word in ("Input", "Value error", "pattern", "should", "factory"):
        assert word not in line


def test_every_setting_has_a_row_above() -> None:
    assert {name for name, _, _ in WRONG} == set(Settings.model_fields)


def test_each_of_several_wrong_settings_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = complaints(monkeypatch, workers="0", threads="0", web_address="x")
    assert [line.split()[0] for line in lines] == [
        "HITCHPOST_WEB_ADDRESS",
        "HITCHPOST_WORKERS",
        "HITCHPOST_THREADS",
    ]


def test_settings_that_do_not_agree_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = complaints(monkeypatch, tls_cert=A_FILE)
    assert lines == ["settings: HITCHPOST_TLS_CERT and HITCHPOST_TLS_KEY go together"]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"grpc_address": "127.0.0.1:50062"},
            "HITCHPOST_GRPC_ADDRESS has a port of HITCHPOST_GRPC_OWN_PORTS",
        ),
        ({"web_address": "0.0.0.0:50061"}, "which are 50061 to 50062"),
        (
            {"worker_address": "[::1]:50062"},
            "HITCHPOST_WORKER_ADDRESS has a port of HITCHPOST_GRPC_OWN_PORTS",
        ),
        ({"grpc_own_ports": "65535"}, "would end at 65536 with 2 workers, and 65535 is the last port"),
    ],
)
def test_own_ports_are_nobody_elses(
    settings: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    [line] = complaints(monkeypatch, **{"workers": "2", "grpc_own_ports": "50061"} | settings)
    assert line.startswith("settings: HITCHPOST_")
    assert said in line


def test_own_addresses_have_the_host_of_the_shared_one() -> None:
    settings = Settings(grpc_address="[::1]:50051", grpc_own_ports=50061, workers=2, pin_workers=False)
    assert settings.own_addresses == ["[::1]:50061", "[::1]:50062"]
    assert Settings(workers=2, pin_workers=False).own_addresses == []


def test_a_wrong_setting_is_one_line_and_exit_code_1() -> None:
    said = refused("doctor", workers="0")
    assert said == "Error: HITCHPOST_WORKERS is 0; it must be a whole number from 1 to 256"


@pytest.mark.parametrize("level", LOG_LEVELS)
def test_a_log_level_may_be_written_in_small_letters(level: str) -> None:
    assert Settings(log_level=level.lower()).log_level == level


def test_settings_that_are_right_are_taken(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "new" / "folder", encryption_keys=SecretStr(ENCRYPTION_KEY))
    assert settings.data_dir == tmp_path / "new" / "folder"
