"""How the processes of a server start, keep running and end: signals, crashes, a database that goes away."""

import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest
from cryptography.fernet import Fernet
from grpc_health.v1 import health_pb2, health_pb2_grpc

from server.config import CAN_PIN, Settings, cores
from server.rpc.key_ring import REMEMBER_SECONDS
from server.storage import schema
from tests.kit.health import STATUS, health, healthz
from tests.kit.servers import (
    SERVICES,
    Server,
    ended,
    eventually,
    hitchpost,
    local_channel,
    new_server,
    printed,
    refused,
    rows,
    serving,
)
from tests.kit.support import Client, Failure, code_of, failure, free_port, unique

WORKERS = 2


@pytest.fixture
def two_workers(run_dir: Path, new_database: Callable[[], str]) -> Iterator[Server]:
    """A server with two workers and a database of its own."""
    with serving(run_dir, new_database(), workers=str(WORKERS)) as server:
        yield server


def list_accounts(client: Client) -> str:
    """The status code of a call that reads."""
    return code_of(lambda: client("SocialAccountService/ListSocialAccounts", timeout=10))


def test_a_revoked_key_stops_working_on_every_worker_within_30_seconds(two_workers: Server) -> None:
    with two_workers.channels_by_worker(WORKERS) as by_worker:
        one = two_workers.new_client(by_worker[min(by_worker)][0])
        clients = [Client(channels[0], one.key) for channels in by_worker.values()]
        assert [list_accounts(client) for client in clients] == ["OK", "OK"]
        project_id = one.project_id
        key_id = printed("keys", "list", project_id, **two_workers.settings).split("\t")[0]
        # Seen anew, so that every worker would remember it for as long as it remembers any.
        assert [list_accounts(client) for client in clients] == ["OK", "OK"]
        printed("keys", "revoke", key_id, **two_workers.settings)
        revoked = time.monotonic()

        def all_refuse() -> bool:
            return [list_accounts(client) for client in clients] == ["UNAUTHENTICATED"] * WORKERS

        eventually(
            "every worker refuses the key", all_refuse, seconds=30 - (time.monotonic() - revoked), every=0.25
        )
        failed = [client.fails("SocialAccountService/ListSocialAccounts").what for client in clients]
    assert failed == [("UNAUTHENTICATED", "API_KEY_INVALID")] * WORKERS
    assert REMEMBER_SECONDS < 30


@dataclass
class Load:
    """Threads that create posts, each with its own channel, until they are told to stop."""

    client: Client
    account_id: str
    answers: dict[str, str] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self, channel: grpc.Channel) -> None:
        """What a thread does; caption and request_id say which call it was."""
        client = Client(channel, self.client.key)
        for _ in range(100_000):
            if self.stop.is_set():
                return
            name = unique("under-load")
            self.answers[name] = code_of(lambda name=name: self._create(client, name))

    def _create(self, client: Client, name: str) -> None:
        post = {"caption": name, "social_account_ids": [self.account_id]}
        answer = client("SocialPostService/CreateSocialPost", social_post=post, request_id=name, timeout=30)
        self.ids[name] = answer.social_post.id

    def count(self, code: str) -> int:
        """How many calls ended with this code so far."""
        return list(self.answers.values()).count(code)


class HealthWatch:
    """A Watch stream, read in a thread."""

    def __init__(self, channel: grpc.Channel, service: str = "") -> None:
        self.seen: list[int] = []
        self._stream = health_pb2_grpc.HealthStub(channel).Watch(
            health_pb2.HealthCheckRequest(service=service), timeout=120
        )
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        try:
            self.seen.extend(answer.status for answer in self._stream)
        except grpc.RpcError:
            return

    def close(self) -> None:
        """Ends the stream."""
        self._stream.cancel()
        self._thread.join(20)


def test_sigterm_under_load_loses_no_accepted_call(two_workers: Server) -> None:
    with ExitStack() as open_things, two_workers.channels_by_worker(WORKERS, each=3) as by_worker:
        channels = [channel for channels in by_worker.values() for channel in channels]
        client = two_workers.new_client(channels[0])
        load = Load(client, client.connect().id)
        watches = [HealthWatch(channels[0]) for channels in by_worker.values()]
        for watch in watches:
            open_things.callback(watch.close)
            eventually("health is SERVING", lambda watch=watch: watch.seen == [STATUS.SERVING])
        threads = [threading.Thread(target=load.run, args=(channel,)) for channel in channels]
        open_things.callback(load.stop.set)
        for thread in threads:
            thread.start()
        eventually("calls are running", lambda: load.count("OK") > 100)
        stopped = time.monotonic()
        exit_code = two_workers.stop()
        seconds = time.monotonic() - stopped
        load.stop.set()
        for thread in threads:
            thread.join(40)
        assert exit_code == 0, two_workers.log.read_text()
        assert seconds < 20, "a client that watches the health must not keep a server from stopping"
        assert [watch.seen for watch in watches] == [[STATUS.SERVING, STATUS.NOT_SERVING]] * WORKERS
    assert set(load.answers.values()) <= {"OK", "UNAVAILABLE", "CANCELLED"}
    assert load.count("OK") < len(load.answers)
    assert _stored_posts(two_workers, client) == sorted(load.ids.items())
    assert len(load.ids) == load.count("OK")


def _stored_posts(server: Server, client: Client) -> list[tuple[str, str]]:
    select = "SELECT caption, id FROM social_post WHERE project_id = %s"
    return sorted(rows(server.settings["database_url"], select, client.project_id))


@dataclass
class Caller:
    """Reads and writes on one channel until told to stop, and keeps each failure."""

    client: Client
    account_id: str
    failures: list[Failure] = field(default_factory=list)
    codes: list[str] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """What the thread does."""
        for number in range(100_000):
            if self.stop.wait(0.01):
                return
            try:
                self._call(number)
                self.codes.append("OK")
            except grpc.RpcError as error:
                self.codes.append(error.code().name)  # type: ignore[attr-defined]
                self.failures.append(failure(error))

    def _call(self, number: int) -> None:
        if number % 2:
            self.client("SocialAccountService/ListSocialAccounts", timeout=20)
        else:
            post = {"caption": "x", "social_account_ids": [self.account_id]}
            request_id = unique("request")
            self.client(
                "SocialPostService/CreateSocialPost", social_post=post, request_id=request_id, timeout=20
            )


def test_calls_fail_cleanly_while_postgresql_is_stopped_and_succeed_after_it_is_back(
    run_dir: Path, own_postgres: Any
) -> None:
    with serving(run_dir, own_postgres.get_uri(), workers=str(WORKERS)) as server:
        before = {child.pid for child in server.children()}
        with server.channels_by_worker(WORKERS) as by_worker:
            channels = [channels[0] for channels in by_worker.values()]
            client = server.new_client(channels[0])
            callers = _start_callers(channels * 3, client)
            try:
                _away_and_back(server, own_postgres, channels, callers)
            finally:
                for caller in callers:
                    caller.stop.set()
            for channel in channels:
                codes = [list_accounts(Client(channel, client.key)) for _ in range(50)]
                assert codes == ["OK"] * 50
        failures = [failed for caller in callers for failed in caller.failures]
        assert {(*failed.what, failed.retry) for failed in failures} == {
            ("UNAVAILABLE", "DATABASE_UNAVAILABLE", True)
        }
        assert {child.pid for child in server.children()} == before, "it needed no restart"


def _start_callers(channels: list[grpc.Channel], client: Client) -> list[Caller]:
    account_id = client.connect().id
    callers = [Caller(Client(channel, client.key), account_id) for channel in channels]
    for caller in callers:
        threading.Thread(target=caller.run).start()
    eventually("calls succeed", lambda: all("OK" in caller.codes for caller in callers))
    return callers


def _away_and_back(
    server: Server, postgres: Any, channels: list[grpc.Channel], callers: list[Caller]
) -> None:
    postgres.stop()
    try:
        eventually("calls fail", lambda: all(caller.codes[-1] == "UNAVAILABLE" for caller in callers))
        eventually(
            "health says so",
            lambda: {health(c, s) for c in channels for s in SERVICES} == {STATUS.NOT_SERVING},
        )
        eventually("the health page says so", lambda: healthz(server) == 503)
    finally:
        postgres.start()
    eventually(
        "health is back", lambda: {health(c, s) for c in channels for s in SERVICES} == {STATUS.SERVING}
    )
    eventually("the health page is back", lambda: healthz(server) == 200)
    eventually("calls succeed again", lambda: all(caller.codes[-20:] == ["OK"] * 20 for caller in callers))


def test_a_killed_worker_is_replaced_and_the_service_goes_on(two_workers: Server) -> None:
    with two_workers.channels_by_worker(WORKERS) as by_worker:
        killed, survivor = sorted(by_worker)
        psutil.Process(killed).kill()
        client = two_workers.new_client(by_worker[survivor][0])
        assert list_accounts(client) == "OK"

        def replaced() -> bool:
            pids = {child.pid for child in two_workers.children()}
            return len(pids) == WORKERS + 2 and killed not in pids

        eventually("another worker has started", replaced)
        eventually("the killed worker's client is served", lambda: _served(by_worker[killed][0], client))
    with eventually_channels(two_workers) as by_worker:
        assert killed not in by_worker
        assert survivor in by_worker
    assert two_workers.logged(message="a process ended; starting another", kind="grpc", pid=killed)


def _served(channel: grpc.Channel, client: Client) -> bool:
    return list_accounts(Client(channel, client.key)) == "OK"


def eventually_channels(server: Server) -> Any:
    """Channels to every worker, once all of them listen."""
    pids: set[int] = set()

    def all_answer() -> bool:
        with closing(local_channel(server.address)) as channel:
            pids.add(server.worker_of(channel))
        return len(pids) == WORKERS

    eventually("every worker answers", all_answer)
    return server.channels_by_worker(WORKERS)


def _cores(server: Server) -> list[tuple[int, ...]]:
    """The cores that each worker may use, in the order of their numbers."""
    found = []
    for child in server.children():
        # One that has been killed has no command line any more.
        with suppress(psutil.NoSuchProcess):
            if "grpc" in child.cmdline():
                found.append(tuple(child.cpu_affinity()))
    return sorted(found)


@pytest.mark.skipif(not hasattr(psutil.Process, "cpu_affinity"), reason="needs Linux")
@pytest.mark.parametrize("pinned", [True, False])
def test_a_pinned_worker_keeps_to_its_core_and_so_does_the_one_that_replaces_it(
    pinned: bool, run_dir: Path, new_database: Callable[[], str]
) -> None:
    usable = tuple(psutil.Process().cpu_affinity())
    wanted = sorted((usable[number % len(usable)],) for number in range(WORKERS)) if pinned else [usable] * 2
    settings = {"workers": str(WORKERS), "pin_workers": str(pinned)}
    with serving(run_dir, new_database(), **settings) as server:
        assert _cores(server) == wanted
        killed = next(child for child in server.children() if "grpc" in child.cmdline())
        killed.kill()
        eventually("the killed worker has ended", lambda: ended(killed))
        with eventually_channels(server) as by_worker:
            assert killed.pid not in by_worker
        assert _cores(server) == wanted


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux")
def test_grpc_wakes_no_threads_of_its_own_for_a_call(two_workers: Server) -> None:
    calls = 1000
    with two_workers.channels_by_worker(WORKERS) as by_worker:
        pid, [channel, *_] = next(iter(by_worker.items()))
        client = two_workers.new_client(channel)
        list_accounts(client)
        before = _wakes_of_grpc(pid)
        assert {list_accounts(client) for _ in range(calls)} == {"OK"}
        # They wake now and then without a call; for each call they would more than once.
        assert _wakes_of_grpc(pid) - before < calls / 2


def _wakes_of_grpc(pid: int) -> int:
    """How often the threads that gRPC has beside those of the server have waited."""
    waits = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        if (task / "comm").read_text().strip() == "event_engine":
            status = dict(line.split(":", 1) for line in (task / "status").read_text().splitlines())
            waits += int(status["voluntary_ctxt_switches"])
    return waits


def test_a_worker_that_is_still_starting_does_not_spoil_the_stop(
    run_dir: Path, new_database: Callable[[], str]
) -> None:
    with serving(run_dir, new_database()) as server:
        before = server.children()
        next(child for child in before if "grpc" in child.cmdline()).kill()
        eventually("another starts", lambda: set(server.children()) - set(before), every=0.01)
        assert server.stop() == 0, server.log.read_text()


def test_workers_are_pinned_only_when_there_are_as_many_as_cores() -> None:
    assert Settings(workers=len(cores())).pin_workers is CAN_PIN
    assert not Settings(workers=len(cores()) + 1).pin_workers


def test_the_children_of_a_killed_supervisor_end_by_themselves(two_workers: Server) -> None:
    children = two_workers.children()
    assert len(children) == WORKERS + 2
    two_workers.process.kill()
    assert two_workers.wait() == -signal.SIGKILL
    try:
        eventually("the children have ended", lambda: all(ended(child) for child in children))
    finally:
        for child in children:
            with suppress(psutil.NoSuchProcess):
                child.kill()


def test_two_servers_started_together_on_an_empty_database_both_become_ready(
    run_dir: Path, empty_database: str
) -> None:
    servers = [new_server(run_dir, empty_database) for _ in range(2)]
    try:
        for server in servers:
            server.start()
        for server in servers:
            server.wait_ready()
        with (
            closing(local_channel(servers[0].address)) as one,
            closing(local_channel(servers[1].address)) as other,
        ):
            client = servers[0].new_client(one)
            assert [list_accounts(Client(channel, client.key)) for channel in (one, other)] == ["OK", "OK"]
        assert [server.stop() for server in servers] == [0, 0]
    finally:
        for server in servers:
            server.kill()
    applied = rows(empty_database, "SELECT count(*) FROM schema_migration")
    assert applied == [(len(list(schema.MIGRATIONS.rglob("[0-9]*.py"))),)]


@pytest.mark.parametrize("setting", ["grpc_address", "web_address"])
def test_a_taken_port_is_one_line_and_exit_code_1(
    setting: str, run_dir: Path, new_database: Callable[[], str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        taken = f"127.0.0.1:{listener.getsockname()[1]}"
        settings = new_server(run_dir, new_database(), **{setting: taken}).settings
        named = f"HITCHPOST_{setting.upper()}"
        said = f"hitchpost: {named}: can't listen on {taken}: Address already in use"
        assert refused("serve", **settings) == said


SECRET = "do-not-print-me"


@pytest.mark.parametrize(
    ("named", "settings"),
    [
        ("HITCHPOST_WORKERS", {"workers": "0"}),
        ("HITCHPOST_WORKERS", {"workers": SECRET}),
        ("HITCHPOST_THREADS", {"threads": "1000"}),
        ("HITCHPOST_GRPC_ADDRESS", {"grpc_address": SECRET}),
        ("HITCHPOST_WEB_ADDRESS", {"web_address": f"{SECRET}:70000"}),
        ("HITCHPOST_TLS_KEY", {"tls_cert": __file__}),
        ("HITCHPOST_TLS_CERT", {"tls_client_ca": __file__}),
        ("HITCHPOST_TLS_CLIENT_CA", {"tls_client_ca": f"/{SECRET}.pem"}),
        ("HITCHPOST_ENCRYPTION_KEYS", {"encryption_keys": SECRET}),
        ("HITCHPOST_ENCRYPTION_KEYS", {"encryption_keys": f"{Fernet.generate_key().decode()},{SECRET}"}),
        ("HITCHPOST_ENCRYPTION_KEYS", {"encryption_keys": ""}),
        ("HITCHPOST_STATEMENT_TIMEOUT", {"statement_timeout": SECRET}),
        ("HITCHPOST_STATEMENT_TIMEOUT", {"statement_timeout": "0"}),
        ("HITCHPOST_DRAIN_TIMEOUT", {"drain_timeout": "-1"}),
        ("HITCHPOST_DATABASE_URL", {"database_url": f"{SECRET}://"}),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_wrong_setting_is_named_and_never_printed(
    named: str, settings: dict[str, str], run_dir: Path
) -> None:
    url = f"postgresql://hitchpost:{SECRET}@127.0.0.1:{free_port()}/hitchpost"
    ran = hitchpost("serve", **{**new_server(run_dir, url).settings, **settings})
    assert ran.returncode != 0
    assert named in ran.stderr
    assert "default factory" not in ran.stderr, "what merely follows from a wrong setting is named, too"
    assert "Traceback" not in ran.stderr
    assert SECRET not in ran.stdout + ran.stderr


def test_python_without_docstrings_says_the_same(
    run_dir: Path, new_database: Callable[[], str], client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As `python -OO -m server serve` does, also for the processes that it starts.
    monkeypatch.setenv("PYTHONOPTIMIZE", "2")
    with serving(run_dir, new_database()) as server, closing(local_channel(server.address)) as channel:
        theirs = server.new_client(channel)
        for method, fields in (
            ("SocialAccountService/GetSocialAccount", {"social_account_id": "sa_1"}),
            ("SocialAccountService/GetSocialAccount", {}),
        ):
            here, there = client.fails(method, **fields), theirs.fails(method, **fields)
            assert (there.what, there.message, there.fields) == (here.what, here.message, here.fields)
            assert there.message
