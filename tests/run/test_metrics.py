"""What a whole server tells of itself at /metrics, of all its processes together."""

import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

import httpx2
import pytest

from server.storage import schema
from tests.kit.metrics import Scraped, scraped
from tests.kit.servers import Server, eventually, local_channel, refused, serving
from tests.kit.support import Client, code_of, free_port

LIST = "SocialAccountService/ListSocialAccounts"


@pytest.fixture(scope="module")
def server(run_dir: Path, new_database: Callable[[], str]) -> Iterator[Server]:
    """A server with two workers, whose worker process tells of the node, too."""
    address = f"127.0.0.1:{free_port()}"
    with serving(run_dir, new_database(), workers="2", worker_address=address) as server:
        yield server


def of(server: Server) -> Scraped:
    """What its web process tells."""
    return scraped(server.settings["web_address"])


def folder_of(server: Server) -> Path:
    """Where its processes keep their numbers."""
    return Path(server.children()[0].environ()["PROMETHEUS_MULTIPROC_DIR"])


def counted(server: Server, least: float, name: str, **labels: str) -> Scraped:
    """What it tells once it has counted so much."""

    def enough() -> Scraped | None:
        told = of(server)
        return told if told.value(name, **labels) >= least else None

    told: Scraped = eventually(f"{name} {labels} is {least}", enough)
    return told


def test_calls_of_all_processes_are_told_together(server: Server) -> None:
    with server.channels_by_worker(2) as by_worker:
        client = server.new_client(next(iter(by_worker.values()))[0])
        for channels in by_worker.values():
            Client(channels[0], client.key)(LIST)
    told = counted(server, 2, "calls_total", method=LIST, wire="grpc", code="OK", reason="")
    assert told.value("call_duration_seconds_count", method=LIST) >= 2
    assert told.value("statement_duration_seconds_count") >= 2
    ended = [labels for labels, _ in told.series("calls_total") if labels["code"] == "UNAUTHENTICATED"]
    # By which the test has found out whose connection is whose.
    assert {(labels["method"], labels["reason"]) for labels in ended} == {
        (LIST, "ERROR_REASON_API_KEY_MISSING")
    }


def test_calls_over_http_are_told_apart(server: Server) -> None:
    with local_channel(server.address) as channel:
        key = server.new_client(channel).key
    answer = httpx2.get(
        f"{server.web_url}/v1/social-accounts", headers={"Authorization": f"Bearer {key}"}, trust_env=False
    )
    assert answer.status_code == 200
    counted(server, 1, "calls_total", method=LIST, wire="rest", code="OK")


def test_the_worker_tells_of_the_node_too(server: Server) -> None:
    told = counted(server, 1, "database_up", role="worker")
    assert {labels["role"] for labels, _ in told.series("database_up")} == {"grpc", "web", "worker"}
    elsewhere = scraped(server.settings["worker_address"])
    assert {sample.name for sample in told.samples} <= {sample.name for sample in elsewhere.samples}


def test_build_schema_and_connections_are_told(server: Server) -> None:
    told = counted(server, 3, "database_connections")
    assert told.value("build_info", version=version("hitchpost")) == 1
    newest = max(path.name for path in schema.MIGRATIONS.glob("0*.py"))
    assert told.value("schema_version") == int(newest.partition("_")[0])


def test_prometheus_finds_nothing_wrong_with_it(server: Server) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("needs promtool, of Debian's package prometheus")
    text = counted(server, 1, "database_up", role="worker").text
    checked = subprocess.run(
        [promtool, "check", "metrics"], input=text, capture_output=True, text=True, timeout=60, check=False
    )
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "Via", "X-Real-IP"])
def test_who_asks_through_a_proxy_is_told_nothing(server: Server, header: str) -> None:
    answer = httpx2.get(f"{server.web_url}/metrics", headers={header: "192.0.2.1"}, trust_env=False)
    assert answer.status_code == 404
    assert b"hitchpost_" not in answer.content


def test_a_worker_that_dies_goes_on_counting_in_its_place(server: Server) -> None:
    """And what it had open when it died counts no longer."""
    with local_channel(server.address) as channel:
        client = server.new_client(channel)
        for _ in range(20):
            client(LIST)
    before = counted(server, 20, "calls_total", method=LIST, code="OK", wire="grpc")
    files = sorted(path.name for path in folder_of(server).iterdir())
    for child in server.children():
        if "grpc" in child.cmdline():
            child.kill()
    with local_channel(server.address) as channel:
        again = Client(channel, client.key)
        eventually("others serve", lambda: code_of(lambda: again(LIST)) == "OK", seconds=60)
    more = before.value("calls_total", method=LIST, code="OK") + 1
    counted(server, more, "calls_total", method=LIST, code="OK")
    eventually(
        "there are no more files than before",
        lambda: sorted(path.name for path in folder_of(server).iterdir()) == files,
    )


def test_with_an_address_of_their_own_they_are_nowhere_else(
    run_dir: Path, new_database: Callable[[], str]
) -> None:
    address = f"127.0.0.1:{free_port()}"
    with serving(run_dir, new_database(), metrics_address=address) as server:
        assert httpx2.get(f"{server.web_url}/metrics", trust_env=False).status_code == 404
        eventually("the web process is told of", lambda: scraped(address).value("database_up", role="web"))
        folder = folder_of(server)
        assert folder.stat().st_mode & 0o777 == 0o700
    assert not folder.exists()


def test_they_can_be_switched_off(run_dir: Path, new_database: Callable[[], str]) -> None:
    with serving(run_dir, new_database(), metrics="false") as server:
        assert httpx2.get(f"{server.web_url}/metrics", trust_env=False).status_code == 404
        assert "PROMETHEUS_MULTIPROC_DIR" not in server.children()[0].environ()


def test_an_address_that_is_taken_is_said(new_database: Callable[[], str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        said = refused("serve", database_url=new_database(), metrics_address=address)
    assert said.startswith(f"hitchpost: HITCHPOST_METRICS_ADDRESS: can't listen on {address}")
