"""Envoy in front of a real server, with the configuration of deploy/envoy."""

import os
import re
import shutil
import signal
import socket
import ssl
import struct
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import grpc
import httpx2
import psutil
import pytest

from generated.hitchpost.v1 import social_account_service_pb2 as pb
from tests.clients.languages import LANGUAGES, play
from tests.kit import envoy
from tests.kit.certificates import Authority
from tests.kit.envoy import Edge
from tests.kit.servers import REPOSITORY, Server, eventually, local_channel, rows, serving
from tests.kit.support import Client, Failure, failure, free_ports, unique
from tools import edge as configuration

READ = "SocialAccountService/ListSocialAccounts"
PATH = f"/hitchpost.v1.{READ}"
# A page that may call, and one that may not.
ALLOWED, OTHER = "https://app.example.com", "https://elsewhere.example"
GRPC_WEB = "application/grpc-web+proto"


def own_addresses(server: Server) -> list[str]:
    first = int(server.settings["grpc_own_ports"])
    return [f"127.0.0.1:{first}", f"127.0.0.1:{first + 1}"]


def own_ports() -> dict[str, str]:
    return {"workers": "2", "pin_workers": "false", "grpc_own_ports": str(free_ports(2))}


def worker_at(server: Server, address: str) -> int:
    """The process that listens there, which may have to start first."""
    host, _, port = address.rpartition(":")

    def listens() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((host, int(port))) == 0

    eventually("the worker listens", listens, 60)
    with local_channel(address) as channel:
        return server.worker_of(channel)


@pytest.fixture(scope="module")
def server(run_dir: Path, new_database: Callable[[], str]) -> Iterator[Server]:
    """Two workers with ports of their own; in dev mode browsers may be sent back to this machine."""
    dev = {"dev_mode": "true", "data_dir": str(run_dir)}
    with serving(run_dir, new_database(), **own_ports(), **dev) as running:
        yield running


@pytest.fixture(scope="module")
def edge(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    folder = tmp_path_factory.mktemp("edge")
    with envoy.running(folder, own_addresses(server), server.settings["web_address"]) as running:
        yield running


@pytest.fixture(scope="module")
def known(server: Server, edge: Edge) -> Iterator[Client]:
    """A client that calls through Envoy, by one connection, and repeats nothing itself."""
    with local_channel(edge.plain, options=[("grpc.enable_retries", 0)]) as channel:
        yield server.new_client(channel)


def test_the_configuration_is_clean(edge: Edge, tmp_path: Path) -> None:
    text = configuration.CONFIGURATION.read_text().replace("/etc/hitchpost", str(edge.ca.parent))
    (tmp_path / "envoy.yaml").write_text(text)
    command = configuration.command(tmp_path / "envoy.yaml", "--mode", "validate")
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (ran.returncode, ran.stdout.split()[-1]) == (0, "OK"), ran.stderr
    # A field that will go is a warning.
    assert ran.stderr == ""


@pytest.mark.parametrize("name", ["python", "go"])
def test_the_story(name: str, server: Server, edge: Edge, known: Client, tmp_path: Path) -> None:
    missing = [tool for tool in LANGUAGES[name].tools if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"{name}: this machine has no {', '.join(missing)}")
    settings = {
        "HITCHPOST_ADDRESS": edge.plain,
        "HITCHPOST_TLS_ADDRESS": edge.address,
        "HITCHPOST_WEB_URL": server.web_url,
        "HITCHPOST_CA_FILE": str(edge.ca),
        "HITCHPOST_KEY": known.key or "",
    }
    played = play(name, settings, tmp_path)
    assert played.code == 0, played.said
    assert played.passed == LANGUAGES[name].steps


def call_many(client: Client, calls: int, at_once: int = 32) -> str:
    """Makes so many calls, and gives a mark by which the log has them."""
    mark = unique("many")

    def call(_: int) -> None:
        client.with_call(READ, timeout=60, extra=[("x-request-id", mark)])

    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(call, range(calls)))
    return mark


def workers_of(server: Server, mark: str, calls: int) -> set[int]:
    """The processes that have served these calls."""

    def all_of_them() -> list[dict[str, int]] | None:
        lines = server.logged(message="call", request_id=mark)
        return lines if len(lines) == calls else None

    lines = eventually("the calls are in the log", all_of_them)
    return {line["process"] for line in lines}


def test_one_connection_reaches_all_workers(server: Server, known: Client) -> None:
    mark = call_many(known, 320)
    assert len(workers_of(server, mark, 320)) == 2


def test_at_the_shared_port_it_reaches_one(server: Server, known: Client) -> None:
    with local_channel(server.address) as channel:
        mark = call_many(Client(channel, known.key), 64)
    assert len(workers_of(server, mark, 64)) == 1


def test_a_worker_that_is_frozen_gets_no_more_calls(server: Server, edge: Edge, known: Client) -> None:
    # Health alone says so: it goes on to take connections.
    frozen = worker_at(server, own_addresses(server)[0])
    os.kill(frozen, signal.SIGSTOP)
    try:
        eventually("Envoy has noticed", lambda: edge.healthy() == 1, 60)
        mark = call_many(known, 64)
        assert frozen not in workers_of(server, mark, 64)
    finally:
        os.kill(frozen, signal.SIGCONT)
    eventually("Envoy has noticed that it is well", lambda: edge.healthy() == 2, 60)


def test_while_a_worker_is_killed_no_read_fails(server: Server, edge: Edge, known: Client) -> None:
    victim = psutil.Process(worker_at(server, own_addresses(server)[1]))
    with ThreadPoolExecutor(1) as pool:
        load = pool.submit(call_many, known, 1500)
        eventually("the load has begun", lambda: server.logged(process=victim.pid, message="call"))
        victim.kill()
        # Whoever called has repeated nothing, and each call has its answer.
        load.result(120)
    victim.wait(60)
    assert worker_at(server, own_addresses(server)[1]) != victim.pid
    eventually("Envoy has noticed", lambda: edge.healthy() == 2, 60)


def test_while_a_worker_is_killed_each_write_is_stored_once(
    server: Server, edge: Edge, known: Client
) -> None:
    page = (REPOSITORY / "docs" / "clients.md").read_text()
    config = re.findall(r"```json\n(.*?)```", page, re.DOTALL)[0]
    account, tag, calls = known.connect(), unique("tag"), 400
    victim = psutil.Process(worker_at(server, own_addresses(server)[1]))

    def create(client: Client, number: int) -> None:
        post = {"external_id": tag, "caption": "hello", "social_account_ids": [account.id]}
        client("SocialPostService/CreateSocialPost", social_post=post, request_id=f"{tag}-{number}")

    with (
        local_channel(edge.plain, options=[("grpc.service_config", config)]) as channel,
        ThreadPoolExecutor(16) as pool,
    ):
        client = Client(channel, known.key)
        created = [pool.submit(create, client, number) for number in range(calls)]
        eventually("the load has begun", lambda: sum(one.done() for one in created) > 20)
        victim.kill()
        for one in created:
            one.result(120)
    statement = "SELECT count(*) FROM social_post WHERE external_id = %s"
    assert rows(server.settings["database_url"], statement, tag) == [(calls,)]
    victim.wait(60)
    assert worker_at(server, own_addresses(server)[1]) != victim.pid
    eventually("Envoy has noticed", lambda: edge.healthy() == 2, 60)


# What browsers can call.


def frames(body: bytes) -> tuple[bytes, dict[str, str]]:
    """gRPC-Web: the message, if any, and the trailers."""
    message, trailers = b"", {}
    while body:
        flag, length = struct.unpack(">BI", body[:5])
        content, body = body[5 : 5 + length], body[5 + length :]
        if flag & 0x80:
            lines = (line.partition(":") for line in content.decode().strip().splitlines())
            trailers = {name: value.strip() for name, _, value in lines}
        else:
            message += content
    return message, trailers


def grpc_web(edge: Edge, key: str | None, request: bytes = b"") -> httpx2.Response:
    headers = {"content-type": GRPC_WEB, "x-grpc-web": "1", "origin": ALLOWED}
    headers |= {"authorization": f"Bearer {key}"} if key else {}
    body = struct.pack(">BI", 0, len(request)) + request
    url = f"http://{edge.plain}{PATH}"
    return httpx2.post(url, content=body, headers=headers, trust_env=False, timeout=30)


def test_grpc_web(edge: Edge, known: Client) -> None:
    account = known.connect(external_id=unique("owner"))
    request = pb.ListSocialAccountsRequest(external_ids=[account.external_id])
    answer = grpc_web(edge, known.key, request.SerializeToString())
    assert (answer.status_code, answer.headers["content-type"]) == (200, GRPC_WEB)
    assert answer.headers["access-control-allow-origin"] == ALLOWED
    assert "grpc-status-details-bin" in answer.headers["access-control-expose-headers"]
    message, trailers = frames(answer.content)
    assert trailers["grpc-status"] == "0"
    found = pb.ListSocialAccountsResponse.FromString(message)
    assert [one.id for one in found.social_accounts] == [account.id]


def test_an_error_by_grpc_web_has_its_status(edge: Edge) -> None:
    answer = grpc_web(edge, None)
    _, trailers = frames(answer.content)
    assert {**answer.headers, **trailers}["grpc-status"] == str(grpc.StatusCode.UNAUTHENTICATED.value[0])


@pytest.mark.parametrize(("origin", "allowed"), [(ALLOWED, ALLOWED), (OTHER, None)])
def test_a_page_asks_before_it_calls(edge: Edge, origin: str, allowed: str | None) -> None:
    asked = "authorization,content-type,x-grpc-web,x-external-id"
    headers = {
        "origin": origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": asked,
    }
    answer = httpx2.options(f"http://{edge.plain}{PATH}", headers=headers, trust_env=False, timeout=30)
    assert answer.headers.get("access-control-allow-origin") == allowed
    if allowed:
        assert answer.status_code == 200
        assert set(asked.split(",")) <= set(answer.headers["access-control-allow-headers"].split(", "))


# What is public.


@contextmanager
def browser(edge: Edge) -> Iterator[httpx2.Client]:
    context = ssl.create_default_context(cafile=str(edge.ca))
    with httpx2.Client(
        base_url=f"https://{edge.address}", verify=context, trust_env=False, timeout=30
    ) as http:
        yield http


@pytest.mark.parametrize(
    "path", ["/healthz", "/metrics", "//metrics", "/v1/../healthz", "/./metrics", "/%68ealthz", "/nothing"]
)
def test_what_is_not_named_is_not_public(edge: Edge, path: str) -> None:
    raw = f"curl -s -o /dev/null -w %{{http_code}} --path-as-is http://{edge.plain}{path}"
    ran = subprocess.run(raw.split(), capture_output=True, text=True, timeout=60)
    assert ran.stdout == "404"


@pytest.mark.parametrize(
    "path", ["/", "/docs", "/docs/docs.js", "/openapi.json", "/oauth/bluesky/client-metadata.json"]
)
def test_pages_are(edge: Edge, path: str) -> None:
    with browser(edge) as http:
        assert http.get(path).status_code == 200


def test_rest_by_the_same_address(edge: Edge, known: Client) -> None:
    with browser(edge) as http:
        headers = {"authorization": f"Bearer {known.key}", "x-request-id": "mine"}
        answer = http.get("/v1/social-accounts", headers=headers)
        assert (answer.status_code, answer.headers["x-request-id"]) == (200, "mine")
        assert http.get("/v1/social-accounts").status_code == 401


# How often a key may call.


def test_one_key_is_limited_and_another_is_not(server: Server, known: Client, tmp_path: Path) -> None:
    with (
        envoy.running(tmp_path, own_addresses(server), server.settings["web_address"], tokens=5) as limited,
        local_channel(limited.plain) as channel,
    ):
        client, other = Client(channel, known.key), server.new_client(channel)
        for _ in range(5):
            client(READ)
        with pytest.raises(grpc.RpcError) as refused:
            client(READ)
        # Not UNAVAILABLE, which clients would repeat at once.
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED  # type: ignore[attr-defined]
        other(READ)
        # Envoy gives gRPC-Web the code that HTTP's 429 has there.
        answer = grpc_web(limited, known.key)
        assert answer.headers["grpc-status"] == str(grpc.StatusCode.UNAVAILABLE.value[0])


def test_tls_all_the_way_and_a_limit_of_hitchposts_own(
    run_dir: Path, new_database: Callable[[], str], tmp_path: Path
) -> None:
    authority = Authority("of the workers")
    identity = authority.identity("server")
    files = {"ca": authority.certificate, "cert": identity.certificate, "key": identity.key}
    for name, content in files.items():
        (tmp_path / f"worker-{name}.pem").write_bytes(content)
    tls = {f"tls_{name}": str(tmp_path / f"worker-{name}.pem") for name in ("cert", "key")}
    limits = {"rate_limit": "1", "rate_limit_burst": "1"}
    with (
        serving(run_dir, new_database(), **own_ports(), **tls, **limits) as server,
        envoy.running(
            tmp_path,
            own_addresses(server),
            server.settings["web_address"],
            upstream_ca=tmp_path / "worker-ca.pem",
        ) as edge,
        local_channel(edge.address, grpc.ssl_channel_credentials(edge.ca.read_bytes())) as channel,
    ):
        client = server.new_client(channel)
        client(READ)
        refused = eventually("the key is refused", lambda: failed(client))
    assert refused.what == ("RESOURCE_EXHAUSTED", "RATE_LIMITED")
    assert refused.retry
    assert refused.request_id


def failed(client: Client) -> Failure | None:
    """How a call failed, if it did."""
    try:
        client(READ)
    except grpc.RpcError as error:
        return failure(error)
    return None
