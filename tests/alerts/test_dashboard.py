"""A real Prometheus scrapes a real server under load, and every panel of the dashboard shows something."""

import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import httpx2
import pytest
import yaml

from tests.kit.certificates import Authority
from tests.kit.dashboard import queries
from tests.kit.sandbox import SandboxApp
from tests.kit.servers import Server, eventually, local_channel, serving
from tests.kit.support import Client, code_of, free_port, unique

PROMETHEUS = shutil.which("prometheus")
pytestmark = pytest.mark.skipif(PROMETHEUS is None, reason="needs prometheus, of Debian's package prometheus")

# What has nothing to show while all is well, and why.
EMPTY = {"Failed statements a second": "no statement fails, and which could is not known before"}


@contextmanager
def prometheus(folder: Path, scraped: str) -> Iterator[str]:
    """Its address; it scrapes this one every second."""
    address = f"127.0.0.1:{free_port()}"
    example = yaml.safe_load((Path(__file__).parents[2] / "deploy/prometheus/prometheus.yaml").read_text())
    [job] = example["scrape_configs"]
    job |= {"scrape_interval": "1s", "scrape_timeout": "1s", "static_configs": [{"targets": [scraped]}]}
    config = folder / "prometheus.yaml"
    config.write_text(yaml.safe_dump({"scrape_configs": [job]}))
    command = [
        str(PROMETHEUS),
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address={address}",
    ]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        yield address
    finally:
        process.terminate()
        process.wait(60)


def asked(address: str, path: str, **arguments: str) -> Any:
    """What Prometheus answers; nothing while it starts."""
    try:
        answer = httpx2.get(f"http://{address}/api/v1/{path}", params=arguments, trust_env=False, timeout=20)
    except httpx2.ConnectError:
        return []
    return answer.json()["data"]["result"] if answer.status_code == 200 else []


def posts(client: Client, server: Server) -> Callable[[], None]:
    """Sends a post to the sandbox each time."""
    app, handle = SandboxApp(server.web_url), unique("handle")
    token = app.signed_in(handle).token
    connected = client(
        "SocialAccountService/ImportSocialAccount",
        platform="PLATFORM_SANDBOX",
        platform_user_id=handle,
        username=handle,
        access_token=token,
    )
    account = connected.social_account.id
    app.tell("content", share=0.3)

    def send() -> None:
        post = client.draft(account, caption=unique("post"))
        client("SocialPostService/PublishSocialPost", social_post_id=post.id)

    return send


@contextmanager
def load(client: Client, server: Server) -> Iterator[None]:
    """Calls that succeed, calls that fail, and posts, until the end of the block."""
    stop, send = threading.Event(), posts(client, server)

    def calls() -> None:
        while not stop.wait(0.02):
            code_of(lambda: client("SocialAccountService/ListSocialAccounts"))
            code_of(lambda: client("SocialPostService/GetSocialPost", social_post_id="sp_none"))

    def sends() -> None:
        while not stop.wait(0.5):
            code_of(send)

    with ThreadPoolExecutor(3) as pool:
        running = [pool.submit(calls), pool.submit(calls), pool.submit(sends)]
        try:
            yield
        finally:
            stop.set()
    for done in running:
        done.result()


def test_every_panel_shows_something(run_dir: Path, new_database: Callable[[], str], tmp_path: Path) -> None:
    authority = Authority("dashboard", valid=timedelta(days=400))
    identity = authority.identity("127.0.0.1", valid=timedelta(days=90))
    certificate, key = tmp_path / "tls.crt", tmp_path / "tls.key"
    certificate.write_bytes(identity.certificate)
    key.write_bytes(identity.key)
    tls = {"tls_cert": str(certificate), "tls_key": str(key)}
    credentials = grpc.ssl_channel_credentials(authority.certificate)
    with (
        serving(run_dir, new_database(), **tls) as server,
        local_channel(server.address, credentials) as channel,
        prometheus(tmp_path, server.settings["web_address"]) as address,
        load(server.new_client(channel), server),
    ):
        waiting = [query for query in queries("20s") if query.panel not in EMPTY]

        def shown() -> bool:
            # A share of nothing is no number, and shows nothing.
            waiting[:] = [
                query
                for query in waiting
                if all(
                    series["value"][1] == "NaN" for series in asked(address, "query", query=query.expression)
                )
            ]
            return not waiting

        try:
            eventually("every panel shows something", shown, 180, every=2.0)
        except AssertionError:
            raise AssertionError(f"nothing to show: {waiting}") from None
