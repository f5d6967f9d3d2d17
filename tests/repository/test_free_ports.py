"""The ports that servers of tests are given: two runs on one machine never have the same."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit.servers import REPOSITORY
from tests.kit.support import free_port

OUTGOING = Path("/proc/sys/net/ipv4/ip_local_port_range")
OTHER_RUN = "from tests.kit.support import free_port; print(*[free_port() for _ in range(50)]); input()"


def test_two_runs_have_different_ports() -> None:
    ours = {free_port() for _ in range(50)}
    command = [sys.executable, "-c", OTHER_RUN]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=REPOSITORY, stdin=pipe, stdout=pipe, text=True) as other:
        assert other.stdout is not None
        theirs = {int(port) for port in other.stdout.readline().split()}
        ours |= {free_port() for _ in range(50)}
        other.communicate("\n")
    assert (len(ours), len(theirs)) == (100, 50)
    assert not ours & theirs


def test_a_port_that_somebody_listens_on_is_passed_by() -> None:
    with socket.socket() as listener:
        listener.bind(("0.0.0.0", free_port() + 1))
        listener.listen()
        assert free_port() != listener.getsockname()[1]


@pytest.mark.skipif(not OUTGOING.exists(), reason="needs Linux")
def test_no_outgoing_connection_takes_a_port_before_its_server_does() -> None:
    first, last = map(int, OUTGOING.read_text().split())
    assert not first <= free_port() <= last
