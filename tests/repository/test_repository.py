"""What holds for the files themselves."""

import subprocess

from tests.kit.servers import REPOSITORY

LOCKS = ("*.lock", "*-lock.json", "*.sum")


def tracked(*patterns: str) -> list[str]:
    """The repository's files that match."""
    listed = subprocess.check_output(["git", "ls-files", *patterns], cwd=REPOSITORY, text=True)
    return listed.splitlines()


def test_lock_files_have_exact_versions_and_no_addresses() -> None:
    locks = tracked(*LOCKS)
    assert {"requirements.lock", "tests/clients/go/go.sum"} <= set(locks)
    for name in locks:
        text = (REPOSITORY / name).read_text()
        assert "http:" not in text, name
        assert "https:" not in text, name
    pins = (REPOSITORY / "requirements.lock").read_text().splitlines()
    assert [pin for pin in pins if not pin.startswith("#") and "==" not in pin] == []
