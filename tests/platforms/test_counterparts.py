"""The servers that no one here wrote: each runs for its test, and not longer."""

import subprocess
import sys

import httpx2
import psutil
import pytest

from tests.kit.counterparts import counterpart
from tests.kit.servers import REPOSITORY, ended, eventually

SCRIPT = "oidc_provider.mjs"
STARTS_ONE = f"""
import time
from tests.kit.counterparts import counterpart
with counterpart({SCRIPT!r}, clients=[]) as said:
    print(said["url"], flush=True)
    time.sleep(60)
"""


def children() -> set[psutil.Process]:
    return {process for process in psutil.Process().children() if process.name() == "node"}


def test_it_ends_with_the_block() -> None:
    others = children()
    with counterpart(SCRIPT, clients=[]) as said:
        assert httpx2.get(f"{said['url']}/jwks", trust_env=False, verify=False).status_code == 200
        [process] = children() - others
    assert ended(process)


def test_it_ends_when_the_tests_are_killed() -> None:
    with counterpart(SCRIPT, clients=[]):
        """Installed, so that the process below starts soon, or skipped."""
    tests = subprocess.Popen([sys.executable, "-c", STARTS_ONE], cwd=REPOSITORY, stdout=subprocess.PIPE)
    assert tests.stdout is not None
    assert tests.stdout.readline().startswith(b"http://127.0.0.1:")
    [process] = psutil.Process(tests.pid).children()
    tests.kill()
    tests.communicate()
    eventually("the counterpart has ended", lambda: ended(process))


def test_one_that_does_not_start_says_why() -> None:
    with (
        pytest.raises(AssertionError, match=r"(?s)nowhere\.mjs is not ready: .*Cannot find module"),
        counterpart("nowhere.mjs"),
    ):
        """Never here."""
