"""`hitchpost settings` and `serve --help`: what is set, where it is from, and never a secret."""

from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from pydantic import SecretStr

from server.config import Settings
from server.projects import api_keys
from server.run import setting_list
from tests.kit.servers import printed, refused

PASSWORD = "pass-do-not-print"
OTHER = "other-do-not-print"


def shown(**settings: str) -> dict[str, tuple[str, str]]:
    """What the command says of each setting: its value and where it is from, by variable."""
    lines = [line.split(maxsplit=2) for line in printed("settings", **settings).splitlines()]
    return {variable.removeprefix("HITCHPOST_").lower(): (value, origin) for variable, origin, value in lines}


def test_every_setting_is_shown_with_where_it_is_from(tmp_path: Path) -> None:
    said = shown(data_dir=str(tmp_path), drain_timeout="7.5", sandbox="no", callback_url="")
    assert list(said) == list(Settings.model_fields)
    assert said["data_dir"] == (str(tmp_path), "environment")
    assert said["drain_timeout"] == ("7.5", "environment")
    assert said["sandbox"] == ("false", "environment")
    assert said["dev_mode"] == ("true", "default")
    assert said["database_url"] == ("(an embedded PostgreSQL)", "default")
    # What is empty counts as not set.
    assert said["callback_url"] == ("http://127.0.0.1:8080/callback", "default")


def secrets() -> dict[str, str]:
    """A secret value for every setting that is declared to be one."""
    keys = f"{Fernet.generate_key().decode()},{Fernet.generate_key().decode()}"
    return {
        "database_url": f"postgresql://hitchpost:{PASSWORD}@a:5432,b:5433/db?sslpassword={OTHER}&sslmode=require",
        "encryption_keys": keys,
        "mcp_api_key": api_keys.generate(),
    }


def test_secrets_are_there_for_every_setting_that_is_one() -> None:
    declared = {
        name for name, field in Settings.model_fields.items() if "SecretStr" in repr(field.annotation)
    }
    assert declared == set(secrets())


def test_no_secret_is_shown() -> None:
    given = secrets()
    url = f"https://somebody:{PASSWORD}@example.com/x?token={OTHER}#{OTHER}"
    urls = dict.fromkeys(("public_url", "callback_url", "plc_url"), url)
    text = printed("settings", **given, **urls)
    wanted = {PASSWORD, OTHER, given["mcp_api_key"], *given["encryption_keys"].split(",")}
    assert [secret for secret in wanted if secret in text] == []
    said = shown(**given, **urls)
    assert said["database_url"][0] == "postgresql://hitchpost@a:5432,b:5433/db?sslmode=require"
    assert said["encryption_keys"] == ("set (2 keys)", "environment")
    assert said["mcp_api_key"] == ("set", "environment")
    assert {said[name][0] for name in urls} == {"https://example.com/x"}


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://db/x", "postgresql://db/x"),
        (f"postgresql://u:{PASSWORD}@/x?host=/run/pg", "postgresql://u@%2Frun%2Fpg/x"),
        (f"postgresql://u@[::1]:5/x?password={PASSWORD}", "postgresql://u@[::1]:5/x"),
        (f"postgresql://u:{PASSWORD}@a,b:6/x", "postgresql://u@a,b:6/x"),
        (f"postgresql://db/x?passfile=/x&options=-csecret%3D{PASSWORD}", "postgresql://db/x"),
    ],
)
def test_a_database_url_is_shown_without_what_may_be_secret(url: str, said: str) -> None:
    found = setting_list.effective(Settings(database_url=SecretStr(url)))
    assert next(found) == ("HITCHPOST_DATABASE_URL", said, "environment")


def test_wrong_settings_are_errors_as_of_serve() -> None:
    assert refused("settings", workers="0").startswith("Error: HITCHPOST_WORKERS is 0; it must be")
    assert "did you mean HITCHPOST_WORKERS?" in refused("settings", workerz="1")
    assert "would start dev mode" in refused("settings", tls_cert=__file__, tls_key=__file__)


def test_the_help_of_serve_lists_every_setting() -> None:
    text = " ".join(printed("serve", "--help").split())
    for variable, default, meaning in setting_list.described():
        assert f"{variable} {meaning} [default: {default}]" in text
