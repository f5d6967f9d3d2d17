"""The command line, as an operator runs it: what it prints, and how it says no."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet

from server.base.vault import fingerprint
from server.run.worker import KINDS
from server.storage import schema
from tests.conftest import ENCRYPTION_KEY
from tests.kit.servers import hitchpost, local_channel, printed, refused, rows, serving
from tests.kit.support import free_port, unique

FIRST_MIGRATION = "0001_initial"


def settings_for(url: str) -> dict[str, str]:
    """The settings that commands need."""
    return {"database_url": url, "encryption_keys": ENCRYPTION_KEY}


@pytest.fixture(scope="module")
def settings(new_database: Callable[[], str]) -> dict[str, str]:
    """Settings with a migrated database, which the tests here share."""
    return settings_for(new_database())


@pytest.fixture
def project(settings: dict[str, str]) -> str:
    """The name of a new project."""
    name = unique("project")
    printed("projects", "create", name, **settings)
    return name


@pytest.fixture
def empty(postgres: Any) -> dict[str, str]:
    """Settings with a database without any table."""
    name = unique("cli_empty").replace("-", "_")
    rows(postgres.get_uri(), f"CREATE DATABASE {name} TEMPLATE template1")
    return settings_for(postgres.get_uri(database=name))


def listed(*arguments: str, **settings: str) -> list[list[str]]:
    """The lines that a command prints, by column."""
    return [line.split("\t") for line in printed(*arguments, **settings).splitlines()]


# Projects.


def test_projects_are_created_and_listed_with_their_redirect_urls(settings: dict[str, str]) -> None:
    name = unique("project")
    project_id = printed("projects", "create", name, **settings).strip()
    assert [project_id, name, ""] in listed("projects", "list", **settings)
    one, other = "https://example.com/one", "https://example.com/other?x=1"
    printed("projects", "add-redirect-url", name, one, **settings)
    printed("projects", "add-redirect-url", project_id, other, **settings)
    printed("projects", "add-redirect-url", name, one, **settings)
    assert [project_id, name, f"{one} {other}"] in listed("projects", "list", **settings)


def test_what_projects_refuse(settings: dict[str, str], project: str) -> None:
    before = listed("projects", "list", **settings)
    assert refused("projects", "create", project, **settings) == (
        f"hitchpost: There is a project named {project!r} already."
    )
    assert "1 to 255 characters" in refused("projects", "create", " ", **settings)
    url = "https://example.com"
    absent = refused("projects", "remove-redirect-url", project, url, **settings)
    assert "is not on the allow-list" in absent
    assert "no project 'nobody'" in refused("projects", "add-redirect-url", "nobody", url, **settings)
    assert "must be http:" in refused("projects", "add-redirect-url", project, "ftp://x", **settings)
    assert listed("projects", "list", **settings) == before


# Keys.


def test_a_key_is_printed_once_and_only_its_hash_is_stored(settings: dict[str, str], project: str) -> None:
    key = printed("keys", "create", project, "--name", "backend", **settings).strip()
    assert key.startswith("hp_")
    [stored] = rows(settings["database_url"], "SELECT k.hash, k::text FROM api_key k WHERE name = 'backend'")
    assert bytes(stored[0]) == fingerprint(key)
    assert key not in stored[1]
    assert key.encode().hex() not in stored[1]
    said = printed("keys", "list", project, **settings)
    assert "backend" in said
    assert key not in said
    assert key.removeprefix("hp_") not in said


def test_keys_are_listed_with_their_rights_and_revoked_once(settings: dict[str, str], project: str) -> None:
    for arguments in (["--name", "backend"], ["--name", "dashboard", "--read-only"]):
        printed("keys", "create", project, *arguments, **settings)
    backend, dashboard = listed("keys", "list", project, **settings)
    assert backend[1:] == ["read-write", "in use", "backend"]
    assert dashboard[1:] == ["read-only", "in use", "dashboard"]
    printed("keys", "revoke", backend[0], **settings)
    revoked, kept = listed("keys", "list", project, **settings)
    assert revoked[2].startswith("revoked 20")
    assert kept == dashboard
    assert f"no key {backend[0]!r} in use" in refused("keys", "revoke", backend[0], **settings)


def test_admin_keys_are_no_projects(settings: dict[str, str], project: str) -> None:
    key = printed("keys", "create", "--admin", "--name", "ops", **settings).strip()
    printed("keys", "create", "--admin", "--read-only", **settings)
    ops, auditor = listed("keys", "list", "--admin", **settings)
    assert ops[1:] == ["admin read-write", "in use", "ops"]
    assert auditor[1:] == ["admin read-only", "in use", ""]
    assert listed("keys", "list", project, **settings) == []
    assert key not in printed("keys", "list", "--admin", **settings)
    printed("keys", "revoke", ops[0], **settings)
    assert listed("keys", "list", "--admin", **settings)[0][2].startswith("revoked 20")
    for arguments in (["create"], ["create", project, "--admin"], ["list"], ["list", project, "--admin"]):
        assert "PROJECT, or --admin" in refused("keys", *arguments, **settings)


def test_what_keys_refuse(settings: dict[str, str]) -> None:
    assert "no project 'nobody'" in refused("keys", "create", "nobody", **settings)
    assert "no project 'nobody'" in refused("keys", "list", "nobody", **settings)
    assert "no key 'key_nothing' in use" in refused("keys", "revoke", "key_nothing", **settings)


# Migrations and doctor.


def test_migrate_applies_everything_once(empty: dict[str, str]) -> None:
    folders = (schema.MIGRATIONS, schema.FINISH)
    names = [path.stem for folder in folders for path in sorted(folder.glob("[0-9]*.py"))]
    assert printed("migrate", **empty) == f"applied: {', '.join(names)}\n"
    assert printed("migrate", **empty) == "nothing to do\n"


def test_a_command_before_the_first_migration_says_what_to_do(empty: dict[str, str]) -> None:
    assert "run hitchpost migrate" in refused("projects", "create", "first", **empty)


def test_a_command_without_its_settings_names_them() -> None:
    # Not the default addresses: somebody's own server may be there.
    addresses = {name: f"127.0.0.1:{free_port()}" for name in ("grpc_address", "web_address")}
    url = "postgresql://127.0.0.1/hitchpost"
    assert "HITCHPOST_ENCRYPTION_KEYS" in refused("serve", database_url=url, **addresses)


def diagnosed(code: int, **settings: str) -> dict[str, str]:
    """What doctor says, by subject; it ends with this exit code."""
    ran = hitchpost("doctor", **settings)
    assert (ran.returncode, ran.stderr) == (code, ""), ran
    findings = [line.partition(": ") for line in ran.stdout.splitlines()]
    return {subject[6:]: f"{subject[:4]} {detail}" for subject, _, detail in findings}


SUBJECTS = [
    "settings",
    "database",
    "migrations",
    "API keys",
    "encryption keys",
    *(f"due work, {kind.name}" for kind in KINDS),
    "sending",
    "connections",
    "PostgreSQL's log",
    "clock",
]


def test_doctor_finds_a_sound_installation_sound(settings: dict[str, str], project: str) -> None:
    printed("keys", "create", project, **settings)
    findings = diagnosed(0, **settings)
    assert list(findings) == SUBJECTS
    assert all(said.startswith("ok ") for said in findings.values()), findings


def test_doctor_misses_a_key(new_database: Callable[[], str]) -> None:
    findings = diagnosed(1, **settings_for(new_database()))
    assert findings["API keys"].startswith("FAIL there is none; run hitchpost projects create")
    assert [subject for subject, said in findings.items() if said.startswith("FAIL")] == ["API keys"]


def test_doctor_misses_migrations(empty: dict[str, str]) -> None:
    findings = diagnosed(1, **empty)
    assert findings["migrations"].startswith(f"FAIL not applied: {FIRST_MIGRATION}")
    assert findings["database"].startswith("ok ")


def test_doctor_notices_a_key_that_does_not_decrypt_what_is_stored(
    run_dir: Path, new_database: Callable[[], str]
) -> None:
    with serving(run_dir, new_database()) as server, closing(local_channel(server.address)) as channel:
        server.new_client(channel).connect()
        settings = settings_for(server.settings["database_url"])
    other = Fernet.generate_key().decode()
    findings = diagnosed(1, **{**settings, "encryption_keys": other})
    assert findings["encryption keys"].startswith("FAIL they decrypt 0 of 2 tokens")
    rotated = diagnosed(0, **{**settings, "encryption_keys": f"{other},{ENCRYPTION_KEY}"})
    assert rotated["encryption keys"].startswith("ok   they decrypt 2 of 2 tokens")


def test_doctor_notices_that_the_database_is_away(settings: dict[str, str]) -> None:
    findings = diagnosed(1, **{**settings, "database_url": "postgresql://127.0.0.1:1/hitchpost"})
    assert list(findings) == ["settings", "database"]
    assert findings["database"].startswith("FAIL The database can't be reached")
