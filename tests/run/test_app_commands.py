"""`hitchpost apps`, as an operator types it: where a secret comes from, and where it never shows."""

import os
import pty
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from server.base.vault import Vault
from server.projects.platform_apps import COLUMNS, PlatformApps, StoredApp
from tests.conftest import ENCRYPTION_KEY
from tests.kit.servers import REPOSITORY, environment, hitchpost, printed, refused, rows
from tests.kit.support import PLATFORMS_FILE, secret, unique


@pytest.fixture(scope="module")
def settings(new_database: Callable[[], str]) -> dict[str, str]:
    """Settings with a migrated database, and a platform that needs an app."""
    return {
        "database_url": new_database(),
        "encryption_keys": ENCRYPTION_KEY,
        "platforms_file": str(PLATFORMS_FILE),
    }


@pytest.fixture
def project(settings: dict[str, str]) -> str:
    """The name of a new project."""
    name = unique("project")
    printed("projects", "create", name, **settings)
    return name


@pytest.fixture(scope="module")
def untouched(settings: dict[str, str]) -> Iterator[str]:
    """The name of a project that has no apps, afterwards neither."""
    name = unique("project")
    printed("projects", "create", name, **settings)
    yield name
    assert rows(settings["database_url"], "SELECT * FROM platform_app WHERE client_id = 'c'") == []


def stored_secret(settings: dict[str, str], app_id: str) -> str:
    """What is stored of an app's secret, decrypted."""
    [row] = rows(settings["database_url"], f"SELECT {COLUMNS} FROM platform_app WHERE id = %s", app_id)
    return PlatformApps(Vault(ENCRYPTION_KEY)).client(StoredApp._make(row)).client_secret


def test_apps_are_set_listed_and_deleted(settings: dict[str, str], project: str, tmp_path: Path) -> None:
    first, second = secret(), secret()
    file = tmp_path / "secret"
    file.write_text(f"{second}\r\n")
    ours = printed("apps", "set", project, "pinterest", "ours", typed=f"{first}\n", **settings).strip()
    hers = ("--external-id", "alice", "--setting", "region=eu=1", "--secret-file", str(file))
    alices = printed("apps", "set", project, "pinterest", "hers", *hers, **settings).strip()
    dashed = ("--secret-file", "-")
    newer = printed("apps", "set", project, "pinterest", "new", *dashed, typed=second, **settings).strip()
    assert [stored_secret(settings, app) for app in (ours, alices, newer)] == [first, second, second]
    said = printed("apps", "list", project, **settings)
    assert first not in said
    assert second not in said
    listed = [line.split("\t") for line in said.splitlines()]
    assert listed[0] == [newer, "pinterest", "new", "secret", "in use", ""]
    assert listed[1] == [alices, "pinterest", "hers", "secret", "in use", "alice"]
    assert listed[2][:4] == [ours, "pinterest", "ours", "secret"]
    assert listed[2][4].startswith("retired 20")
    for app in (ours, alices, newer):
        assert printed("apps", "delete", project, app, **settings) == ""
    assert printed("apps", "list", project, **settings) == ""
    gone = refused("apps", "delete", project, ours, **settings)
    assert gone == f"hitchpost: There is no platform app {ours}."


def test_no_secret_keeps_the_one_that_is_there(settings: dict[str, str], project: str) -> None:
    kept = secret()
    set_ours = ("apps", "set", project, "pinterest", "ours")
    app = printed(*set_ours, typed=kept, **settings).strip()
    assert printed(*set_ours, "--no-secret", "--setting", "region=us", **settings).strip() == app
    assert stored_secret(settings, app) == kept
    printed("apps", "set", project, "pinterest", "public", "--no-secret", **settings)
    assert printed("apps", "list", project, **settings).split("\t")[3] == "no secret"


def test_a_secret_that_is_typed_at_a_terminal_is_not_shown(settings: dict[str, str], project: str) -> None:
    typed = secret()
    ours, theirs = pty.openpty()
    # In a session of its own, in which that is the terminal.
    with subprocess.Popen(
        [sys.executable, "-m", "server", "apps", "set", project, "pinterest", "ours"],
        cwd=REPOSITORY,
        env=environment(**settings),
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=theirs,
        start_new_session=True,
    ) as process:
        os.close(theirs)
        assert process.stdout
        shown = b""
        while b"Client secret: " not in shown:
            shown += os.read(ours, 1000)
        command_line = psutil.Process(process.pid).cmdline()
        os.write(ours, f"{typed}\n".encode())
        app = process.stdout.read().decode().strip()
        # Once nobody has the other end any more, reading fails.
        try:
            while more := os.read(ours, 1000):
                shown += more
        except OSError:
            os.close(ours)
    assert process.returncode == 0
    assert stored_secret(settings, app) == typed
    assert typed.encode() not in shown
    assert typed not in "\0".join(command_line)


# What is typed after `hitchpost apps set PROJECT`, what comes on stdin, and a part of what is said.
WRONG = {
    "no secret": (["pinterest", "c"], "", "The secret is empty"),
    "an empty line": (["pinterest", "c"], "\n", "The secret is empty"),
    "a secret of two lines": (["pinterest", "c"], "a\nb\n", "client_secret: must have 1 to 4,096 printable"),
    "a secret that is no ASCII": (["pinterest", "c"], "geheimnisvoll: ü", "client_secret: must have 1 to"),
    "a secret without end": (["pinterest", "c"], "x" * 100_000, "client_secret: must have 1 to 4,096"),
    "no client id": (["pinterest", ""], "s", "client_id: must have 1 to 512"),
    "an empty owner": (["pinterest", "c", "--external-id", ""], "s", "external_id: must have 1 to 255"),
    "an unknown setting": (["pinterest", "c", "--setting", "zone=a"], "s", "settings.zone: is no setting"),
    "a setting without value": (["pinterest", "c", "--setting", "region"], "s", "takes NAME=VALUE"),
    "a setting twice": (["pinterest", "c", *["--setting", "region=a"] * 2], "s", "each name once"),
    "a platform without app": (["sandbox", "c"], "s", "platform: "),
    "two ways at once": (["pinterest", "c", "--no-secret", "--secret-file", "-"], "s", "exclude each other"),
    "a folder": (
        ["pinterest", "c", "--secret-file", "/"],
        "s",
        "--secret-file can't be read: Is a directory",
    ),
}


@pytest.mark.parametrize(("arguments", "typed", "said"), WRONG.values(), ids=WRONG)
def test_what_apps_refuse(
    settings: dict[str, str], untouched: str, arguments: list[str], typed: str, said: str
) -> None:
    assert said in refused("apps", "set", untouched, *arguments, typed=typed, **settings)


def test_what_else_apps_refuse(settings: dict[str, str], untouched: str) -> None:
    for arguments in (["set", "nobody", "pinterest", "c"], ["list", "nobody"], ["delete", "nobody", "pa_1"]):
        assert "no project 'nobody'" in refused("apps", *arguments, **settings)
    assert "must be the id of an app" in refused("apps", "delete", untouched, "pa_1", **settings)
    ran = hitchpost("apps", "set", untouched, "myspace", "c", **settings)
    assert ran.returncode == 2
    assert "'myspace' is not one of" in ran.stderr


LEAKED = secret()
ON_THE_COMMAND_LINE = {
    "behind the client id": [LEAKED],
    "more than once": [LEAKED, LEAKED],
    "as a file": ["--secret-file", LEAKED],
    "by an option that there is not": ["--secret", LEAKED],
    "joined to it": [f"--client-secret={LEAKED}"],
}


@pytest.mark.parametrize("arguments", ON_THE_COMMAND_LINE.values(), ids=ON_THE_COMMAND_LINE)
def test_a_secret_on_the_command_line_is_refused_and_not_repeated(
    settings: dict[str, str], untouched: str, arguments: list[str]
) -> None:
    ran = hitchpost("apps", "set", untouched, "pinterest", "c", *arguments, typed="s", **settings)
    assert ran.returncode in (1, 2)
    assert LEAKED not in ran.stdout + ran.stderr
