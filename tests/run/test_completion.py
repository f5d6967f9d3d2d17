"""A real bash completes commands, options and names of platforms; and `hitchpost version`."""

import platform
import shlex
import subprocess
import sys
from pathlib import Path

import grpc
import pytest

from server.storage import schema
from tests.kit.servers import REPOSITORY, environment, hitchpost, printed

# Takes what bash itself would hand over when Tab is pressed behind the last word.
COMPLETE = """
eval "$(hitchpost completion bash)"
complete -p hitchpost >/dev/null || exit 3
COMP_WORDS=({words}) COMP_CWORD={last}
_hitchpost_completion hitchpost
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.fixture(scope="module")
def path(run_dir: Path) -> Path:
    """A folder with a command `hitchpost`."""
    folder = run_dir / "completion"
    folder.mkdir()
    command = folder / "hitchpost"
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m server "$@"\n')
    command.chmod(0o755)
    return folder


def completed(path: Path, *words: str) -> list[str]:
    """What bash offers for the last of the words that are typed."""
    outside = environment()
    script = COMPLETE.format(words=shlex.join(["hitchpost", *words]), last=len(words))
    ran = subprocess.run(
        ["bash", "--norc", "-c", script],
        cwd=REPOSITORY,
        env=outside | {"PATH": f"{path}:{outside['PATH']}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout.split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["se"], ["serve", "settings"]),
        (["keys", "r"], ["revoke", "rotate-encryption"]),
        (["serve", "--role", ""], ["all", "grpc", "web", "worker"]),
        (["apps", "set", "dev", "ti"], ["tiktok", "tiktok_business"]),
        (["completion", "z"], ["zsh"]),
        # The command that `serve` starts is none for people.
        (["proc"], []),
    ],
)
def test_bash_completes(path: Path, words: list[str], offered: list[str]) -> None:
    assert completed(path, *words) == offered


@pytest.mark.parametrize(("shell", "sign"), [("zsh", "#compdef hitchpost"), ("fish", "complete --no-files")])
def test_other_shells_have_their_own(shell: str, sign: str) -> None:
    said = printed("completion", shell)
    assert sign in said
    assert f"_HITCHPOST_COMPLETE={shell}_complete" in said


def test_another_shell_is_refused() -> None:
    assert hitchpost("completion", "csh").returncode == 2


def test_the_version_is_said_with_what_it_runs_on() -> None:
    lines = printed("version").splitlines()
    assert lines[0] == printed("--version").strip().replace(", version", "")
    assert lines[1:] == [
        f"schema {schema.newest()}",
        f"Python {platform.python_version()}",
        f"grpcio {grpc.__version__}",
    ]
