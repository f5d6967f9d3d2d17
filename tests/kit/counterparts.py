"""Servers that no one here wrote, which tests start on loopback: npm packages of tests/counterparts."""

import fcntl
import json
import select
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[1] / "counterparts"
TOOLS = ("make", "node", "npm")
INSTALL_SECONDS = 600
START_SECONDS = 60
STOP_SECONDS = 20


@contextmanager
def counterpart(script: str, **settings: Any) -> Iterator[Any]:
    """Runs a script of tests/counterparts until the end of the block, and gives what it says of itself: `url`
    and what else it has.

    `settings` are its own, as JSON; they come by a pipe, so they may hold secrets. Where Node is missing, the
    test is skipped.
    """
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"{script}: this machine has no {', '.join(missing)}")
    _install()
    pipe = subprocess.PIPE
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            ["node", script], cwd=FOLDER, stdin=pipe, stdout=pipe, stderr=errors, text=True
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(settings) + "\n")
            process.stdin.flush()
            answered, _, _ = select.select([process.stdout], [], [], START_SECONDS)
            said = process.stdout.readline() if answered else ""
            errors.seek(0)
            assert said, f"{script} is not ready: {errors.read()[-4000:]}"
            yield json.loads(said)
        finally:
            _stop(process)


def _install() -> None:
    """Installs the packages unless they are there. Of several processes one does it, the others wait."""
    with (FOLDER / "package-lock.json").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ran = subprocess.run(
            ["make", "-s", "install"], cwd=FOLDER, capture_output=True, text=True, timeout=INSTALL_SECONDS
        )
    assert ran.returncode == 0, ran.stdout[-4000:] + ran.stderr[-4000:]


def _stop(process: "subprocess.Popen[str]") -> None:
    """It ends when its stdin does; one that doesn't is killed, and fails the test."""
    try:
        process.communicate(timeout=STOP_SECONDS)
    finally:
        process.kill()
        process.wait()
