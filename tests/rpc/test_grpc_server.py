"""The gRPC server around the methods: load, limits, TLS, health, reflection, request ids and the log."""

import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import grpc
import psycopg2
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_status import rpc_status

from generated.hitchpost.v1.social_account_service_pb2 import ListSocialAccountsRequest
from generated.hitchpost.v1.social_account_service_pb2_grpc import SocialAccountServiceStub
from server.accounts.accounts import Accounts
from server.base import logs
from server.run import grpc as grpc_role
from tests.conftest import Running
from tests.kit.certificates import Authority, Identity
from tests.kit.servers import SERVICES, eventually, local_channel, rows, serving
from tests.kit.support import Client, code_of, failure, free_port, unique, whole_lines

LIST = "SocialAccountService/ListSocialAccounts"
IMPORT = "SocialAccountService/ImportSocialAccount"
STATUS = health_pb2.HealthCheckResponse
MAX_WAITING = 3


@contextmanager
def locked(url: str, table: str) -> Iterator[None]:
    """Inside, every statement that needs the table waits."""
    with closing(psycopg2.connect(url)) as connection:
        connection.cursor().execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        yield


def health(channel: grpc.Channel, service: str = "") -> int:
    """What the server says about a service."""
    request = health_pb2.HealthCheckRequest(service=service)
    return health_pb2_grpc.HealthStub(channel).Check(request, timeout=30).status


# Load.


def test_calls_beyond_the_queue_are_refused_at_once_and_those_in_it_succeed(
    run_dir: Path, new_database: Callable[[], str]
) -> None:
    url = new_database()
    limits = {"threads": "1", "max_waiting_calls": str(MAX_WAITING), "statement_timeout": "60"}
    with serving(run_dir, url, **limits) as server, closing(local_channel(server.address)) as channel:
        client = server.new_client(channel)
        client(LIST)
        with locked(url, "social_account"):
            serving_one = _list(client)
            eventually("the only thread waits", lambda: _waiting_for_the_lock(url))
            more = [_list(client) for _ in range(20)]
            eventually("most are refused", lambda: sum(call.done() for call in more) >= 20 - MAX_WAITING)
            refused = [call for call in more if call.done()]
            queued = [call for call in more if call not in refused]
            assert len(refused) == 20 - MAX_WAITING
            assert {health(channel, service) for service in SERVICES} == {STATUS.SERVING}
            assert not any(call.done() for call in (serving_one, *queued))
        for call in (serving_one, *queued):
            call.result(timeout=30)
        assert {(*failure(call).what, failure(call).retry) for call in refused} == {
            ("RESOURCE_EXHAUSTED", "OVERLOADED", True)
        }
        client(LIST)
        eventually(
            "all are in the log",
            lambda: len(server.logged(message="call", code="RESOURCE_EXHAUSTED")) == len(refused),
        )


def _list(client: Client) -> Any:
    stub = SocialAccountServiceStub(client.channel)
    return stub.ListSocialAccounts.future(ListSocialAccountsRequest(), metadata=client.metadata, timeout=60)


def _waiting_for_the_lock(url: str) -> bool:
    waiting = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    return bool(rows(url, waiting))


def test_idle_reflection_streams_take_no_thread_from_calls_and_from_each_other(
    run_dir: Path, new_database: Callable[[], str]
) -> None:
    with (
        serving(run_dir, new_database(), threads="1") as server,
        closing(local_channel(server.address)) as channel,
    ):
        client = server.new_client(channel)
        reflect = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo
        idle = []
        for _ in range(12):
            requests: SimpleQueue[Any] = SimpleQueue()
            requests.put(reflection_pb2.ServerReflectionRequest(list_services=""))
            stream = reflect(iter(requests.get, None), timeout=60)
            assert next(stream).HasField("list_services_response")
            idle.append((stream, requests))
        client(LIST, timeout=10)
        for stream, requests in idle:
            requests.put(None)
            assert list(stream) == []


def test_a_connection_has_so_many_open_calls_and_no_more(
    running: Running, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grpc_role, "MAX_OPEN_CALLS", 5)
    never: SimpleQueue[Any] = SimpleQueue()
    with (
        serving_again(running) as address,
        closing(local_channel(address)) as greedy,
        closing(local_channel(address)) as another,
    ):
        Client(greedy, client.key)(LIST)
        method = greedy.stream_unary("/hitchpost.v1.SocialAccountService/ListSocialAccounts")
        idle = [method.future(iter(never.get, None), metadata=client.metadata) for _ in range(5)]
        eventually("no more are let in", lambda: code_on(greedy, client, timeout=0.5) == "DEADLINE_EXCEEDED")
        assert code_on(another, client) == "OK"
        for call in idle:
            call.cancel()
            never.put(None)
        # The server may hear of the next call before it has put the ended ones away.
        eventually("others are let in", lambda: code_on(greedy, client) == "OK")


def test_a_statement_that_takes_too_long_is_deadline_exceeded(running: Running, client: Client) -> None:
    client(LIST)
    with locked(running.database_url, "social_account"):
        failed = client.fails(LIST)
    assert failed.what == ("DEADLINE_EXCEEDED", "STATEMENT_TIMEOUT")
    for _ in range(10):
        client(LIST)


def test_a_message_that_is_too_large_is_refused(running: Running, client: Client) -> None:
    account = client.connect()
    size = running.settings.max_message_bytes
    with pytest.raises(grpc.RpcError, match="RESOURCE_EXHAUSTED"):
        client.draft(account.id, caption="x" * size)
    client(LIST)


@pytest.mark.parametrize(("body", "metadata"), [(5_000_000, 1), (1, 20_000)], ids=["message", "metadata"])
def test_what_grpc_itself_refuses_has_a_code_and_no_reason_as_readme_says(
    client: Client, body: int, metadata: int
) -> None:
    method = client.channel.unary_unary("/hitchpost.v1.SocialAccountService/ListSocialAccounts")
    with pytest.raises(grpc.RpcError) as caught:
        method(b"x" * body, timeout=20, metadata=[*client.metadata, ("mine", "a" * metadata)])
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED  # type: ignore[attr-defined]
    assert rpc_status.from_call(caught.value) is None
    client(LIST)


@pytest.mark.parametrize("path", ["/hitchpost.v1.SocialAccountService/Unknown", "/other.Service/Method"])
def test_a_method_that_there_is_not_fails_with_a_reason_and_a_request_id(running: Running, path: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        running.channel.unary_unary(path)(b"x", timeout=20, metadata=[("x-request-id", "mine-1")])
    failed = failure(caught.value)
    assert (failed.what, failed.metadata) == (("UNIMPLEMENTED", "METHOD_UNKNOWN"), {"method": path})
    assert failed.request_id == "mine-1"


@pytest.mark.own_loop
def test_a_call_without_a_message_fails_with_a_reason(client: Client) -> None:
    method = client.channel.stream_unary("/hitchpost.v1.SocialAccountService/ListSocialAccounts")
    with pytest.raises(grpc.RpcError) as caught:
        method(iter(()), timeout=20, metadata=client.metadata)
    assert failure(caught.value).what == ("INVALID_ARGUMENT", "FIELD_INVALID")


# TLS.


@pytest.fixture(scope="module")
def authority() -> Authority:
    """The private CA that signed the server's certificate."""
    return Authority("private CA")


@pytest.fixture(scope="module")
def stranger_authority() -> Authority:
    """Another CA, which nobody trusts."""
    return Authority("another CA")


@contextmanager
def serving_again(running: Running, **settings: Any) -> Iterator[str]:
    """The in-process server's application on another port, with these settings; gives its address."""
    changed = running.settings.model_copy(update={"grpc_address": f"127.0.0.1:{free_port()}", **settings})
    process = grpc_role.GrpcProcess(replace(running.app, settings=changed))
    process.start()
    try:
        yield changed.grpc_address
    finally:
        process.stop()


@contextmanager
def tls_server(running: Running, folder: Path, authority: Authority, *, mutual: bool) -> Iterator[str]:
    """The same behind TLS."""
    identity = authority.identity("server")
    files = {"tls_cert": identity.certificate, "tls_key": identity.key}
    if mutual:
        files["tls_client_ca"] = authority.certificate
    for name, content in files.items():
        (folder / name).write_bytes(content)
    with serving_again(running, **{name: folder / name for name in files}) as address:
        yield address


def tls_code(address: str, client: Client, ca: bytes | None, shown: Identity | None = None) -> str:
    """The status code of a call over TLS."""
    key, certificate = (shown.key, shown.certificate) if shown else (None, None)
    return code_over(local_channel(address, grpc.ssl_channel_credentials(ca, key, certificate)), client)


def code_over(channel: grpc.Channel, client: Client) -> str:
    """The status code of a call on this channel, which is closed then."""
    with closing(channel):
        return code_on(channel, client)


def code_on(channel: grpc.Channel, client: Client, timeout: float = 10) -> str:
    """The status code of a call on this channel."""
    return code_of(lambda: Client(channel, client.key)(LIST, timeout=timeout))


def test_tls_with_a_private_ca(
    running: Running, client: Client, authority: Authority, tmp_path: Path
) -> None:
    with tls_server(running, tmp_path, authority, mutual=False) as address:
        assert tls_code(address, client, authority.certificate) == "OK"
        assert code_over(local_channel(address), client) == "UNAVAILABLE"


def test_a_client_refuses_a_server_whose_ca_it_does_not_know(
    running: Running, client: Client, authority: Authority, stranger_authority: Authority, tmp_path: Path
) -> None:
    with tls_server(running, tmp_path, authority, mutual=False) as address:
        assert tls_code(address, client, stranger_authority.certificate) == "UNAVAILABLE"


def test_mutual_tls_serves_only_clients_with_a_certificate_of_its_ca(
    running: Running, client: Client, authority: Authority, stranger_authority: Authority, tmp_path: Path
) -> None:
    with tls_server(running, tmp_path, authority, mutual=True) as address:
        ca = authority.certificate
        assert tls_code(address, client, ca, authority.identity("client")) == "OK"
        assert tls_code(address, client, ca) == "UNAVAILABLE"
        assert tls_code(address, client, ca, stranger_authority.identity("client")) == "UNAVAILABLE"


# Health, reflection, keepalive.


def test_health_is_told_per_service_and_overall(running: Running) -> None:
    assert {service: health(running.channel, service) for service in SERVICES} == dict.fromkeys(
        SERVICES, STATUS.SERVING
    )
    with pytest.raises(grpc.RpcError, match="NOT_FOUND"):
        health(running.channel, "hitchpost.v1.NoSuchService")


def test_reflection_lists_the_services_and_resolves_their_messages(running: Running) -> None:
    database = ProtoReflectionDescriptorDatabase(running.channel)
    assert set(database.get_services()) == {
        "hitchpost.v1.SocialAccountService",
        "hitchpost.v1.SocialPostService",
        "hitchpost.v1.PlatformAppService",
        "hitchpost.v1.AdminService",
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
    }
    pool = DescriptorPool(database)
    account = pool.FindMessageTypeByName("hitchpost.v1.SocialAccount")
    assert account.fields_by_name["external_id"].has_presence
    service = pool.FindServiceByName("hitchpost.v1.SocialPostService")
    assert "CreateSocialPost" in service.methods_by_name


def test_clients_may_ping_every_ten_seconds_even_without_calls(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What gRPC does with these takes it minutes to show.
    given: dict[str, Any] = {}
    real = grpc.server

    def server(*args: Any, options: Any, **kwargs: Any) -> grpc.Server:
        given.update(options)
        return real(*args, options=options, **kwargs)

    monkeypatch.setattr(grpc, "server", server)
    settings = running.settings.model_copy(update={"grpc_address": f"127.0.0.1:{free_port()}"})
    grpc_role.GrpcProcess(replace(running.app, settings=settings)).stop()
    assert given["grpc.http2.min_ping_interval_without_data_ms"] <= 10_000
    assert given["grpc.keepalive_permit_without_calls"] == 1
    assert given["grpc.so_reuseport"] == 1


def test_two_workers_cannot_listen_at_one_address_of_their_own(running: Running) -> None:
    own = f"127.0.0.1:{free_port()}"
    settings = running.settings.model_copy(update={"grpc_address": f"127.0.0.1:{free_port()}"})
    app = replace(running.app, settings=settings)
    first = grpc_role.GrpcProcess(app, own)
    first.start()
    try:
        with pytest.raises(OSError, match=f"HITCHPOST_GRPC_OWN_PORTS: can.t listen on {own}"):
            grpc_role.GrpcProcess(app, own)
    finally:
        first.stop()


# Request ids and the log.


def request_id_of(call: Any) -> str:
    """The one x-request-id in the call's trailers."""
    [value] = [value for name, value in call.trailing_metadata() if name == "x-request-id"]
    return value


def failed_call(client: Client, method: str, **options: Any) -> Any:
    """The call as it failed."""
    with pytest.raises(grpc.RpcError) as caught:
        client.with_call(method, **options)
    return caught.value


def test_a_request_id_comes_back_in_the_trailers(client: Client) -> None:
    mine = [("x-request-id", unique("mine"))]
    _, call = client.with_call(LIST, extra=mine)
    assert request_id_of(call) == mine[0][1]
    invalid = failed_call(client, LIST, extra=mine, page_size=-1)
    assert request_id_of(invalid) == mine[0][1]
    unknown = failed_call(client.with_key(None), LIST, extra=mine)
    assert request_id_of(unknown) == mine[0][1]


@pytest.mark.parametrize("given", [[], ["two", "of them"], ["x" * 129], ["with space"], [""]])
def test_a_missing_or_bad_request_id_is_replaced(client: Client, given: list[str]) -> None:
    extra = [("x-request-id", value) for value in given]
    _, call = client.with_call(LIST, extra=extra)
    assert uuid.UUID(request_id_of(call))
    assert uuid.UUID(request_id_of(failed_call(client, LIST, extra=extra, page_size=-1)))


def lines_of(log_file: Path, request_id: str) -> list[dict[str, Any]]:
    """What the log has about a call. Every line of the log is one JSON object."""
    logs.calls.flush()
    lines = [json.loads(line) for line in whole_lines(log_file)]
    return [line for line in lines if line.get("request_id") == request_id]


@pytest.mark.parametrize(
    ("page_size", "keyed", "code"),
    [(0, True, "OK"), (-1, True, "INVALID_ARGUMENT"), (0, False, "UNAUTHENTICATED")],
)
def test_every_call_is_one_line_in_the_log(
    client: Client, log_file: Path, page_size: int, keyed: bool, code: str
) -> None:
    request_id = unique("logged")
    caller = client if keyed else client.with_key("hp_wrong")
    with suppress(grpc.RpcError):
        caller.with_call(LIST, extra=[("x-request-id", request_id)], page_size=page_size)
    [line] = lines_of(log_file, request_id)
    assert (line["method"], line["code"], line["level"]) == (LIST, code, "INFO")
    assert line["project"] == (client.project_id if keyed else None)
    assert 0 < line["duration_ms"] < 30_000


def test_an_unexpected_exception_is_internal_without_detail_and_logged_in_full(
    client: Client, log_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("inner detail")

    monkeypatch.setattr(Accounts, "get", broken)
    request_id = unique("broken")
    call = failed_call(
        client,
        "SocialAccountService/GetSocialAccount",
        extra=[("x-request-id", request_id)],
        social_account_id="sa_01ARZ3NDEKTSV4RRFFQ69G5FAV",
    )
    failed = failure(call)
    assert failed.what == ("INTERNAL", "INTERNAL")
    assert failed.request_id == request_id
    assert failed.metadata == {}
    assert "inner detail" not in f"{call.details()}{call.trailing_metadata()}"
    unexpected, ended = lines_of(log_file, request_id)
    assert unexpected["level"] == "ERROR"
    assert "RuntimeError: inner detail" in unexpected["exc_info"]
    assert "in broken" in unexpected["exc_info"]
    assert (ended["message"], ended["code"]) == ("call", "INTERNAL")
