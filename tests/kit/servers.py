"""Real servers: `hitchpost serve` in processes of its own, on free ports, and the command line beside it."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import psutil
import psycopg2
import pytest

from server.base.logs import FLUSH_SECONDS
from server.run.supervisor import GRPC_ENVIRONMENT
from tests.conftest import ENCRYPTION_KEY
from tests.kit.support import CALL_LOOP, MESSAGES, PLATFORMS_FILE, Client, free_port, unique, whole_lines

REPOSITORY = Path(__file__).parents[2]
START_SECONDS = 60.0
STOP_SECONDS = 60.0
SERVICES = (
    "",
    "hitchpost.v1.SocialAccountService",
    "hitchpost.v1.SocialPostService",
    "hitchpost.v1.PlatformAppService",
    "hitchpost.v1.AdminService",
)
# What servers of this run have logged, for the leak test.
LOG_FILES: list[Path] = []


def eventually(what: str, check: Callable[[], Any], seconds: float = 30.0, every: float = 0.05) -> Any:
    """The first true result of `check`. Fails when none comes in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        result = check()
        if result:
            return result
        time.sleep(every)
    raise AssertionError(f"not within {seconds} s: {what}")


def ended(process: psutil.Process) -> bool:
    """Whether the process is gone; a container's init may leave it a zombie."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def environment(**settings: str) -> dict[str, str]:
    """Ours, with these HITCHPOST_* settings and no others, and without what the product sets for gRPC."""
    outside = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("HITCHPOST_") and name not in GRPC_ENVIRONMENT
    }
    return outside | {f"HITCHPOST_{name.upper()}": value for name, value in settings.items()}


def hitchpost(
    *arguments: str, seconds: float = START_SECONDS, typed: str = "", code: Path = REPOSITORY, **settings: str
) -> subprocess.CompletedProcess[str]:
    """Runs the command to its end, with this on its stdin; `code` is the folder of another version."""
    return subprocess.run(
        [sys.executable, "-m", "server", *arguments],
        cwd=code,
        env=environment(**settings),
        input=typed,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


def refused(*arguments: str, **settings: str) -> str:
    """What the command says when it fails as it should: exit code 1, one line on stderr, nothing else."""
    ran = hitchpost(*arguments, **settings)
    lines = ran.stderr.strip().splitlines()
    assert (ran.returncode, ran.stdout, len(lines)) == (1, "", 1), (ran.returncode, ran.stdout, ran.stderr)
    return lines[0]


def printed(*arguments: str, code: Path = REPOSITORY, **settings: str) -> str:
    """What the command prints when it succeeds; `code` is the folder of another version."""
    ran = hitchpost(*arguments, code=code, **settings)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def rows(url: str, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """Runs one statement in the database at `url`."""
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute(statement, parameters)
        return cursor.fetchall() if cursor.description else []


@contextmanager
def locked_row(url: str, account_id: str) -> Iterator[None]:
    """Inside, every statement that changes this account waits."""
    with closing(psycopg2.connect(url)) as connection:
        connection.cursor().execute("SELECT 1 FROM social_account WHERE id = %s FOR UPDATE", [account_id])
        yield


def local_channel(
    address: str,
    credentials: grpc.ChannelCredentials | None = None,
    options: Sequence[tuple[str, int | str]] = (),
) -> grpc.Channel:
    """A channel with a connection of its own: channels with equal arguments would share one."""
    own = (("grpc.use_local_subchannel_pool", 1), *options)
    if credentials is None:
        return grpc.insecure_channel(address, own)
    return grpc.secure_channel(address, credentials, own)


@dataclass
class Server:
    """A running `hitchpost serve`."""

    settings: dict[str, str]
    log: Path
    output: Path
    command: Sequence[str] = field(default=(sys.executable, "-m", "server"), kw_only=True)
    folder: Path = field(default=REPOSITORY, kw_only=True)
    process: "subprocess.Popen[bytes]" = field(init=False)

    def start(self, terminal: int | None = None) -> None:
        """Starts the process, its stdout a file or this terminal; `wait_ready` waits for it."""
        with self.log.open("ab") as errors, self.output.open("ab") as output:
            self.process = subprocess.Popen(
                [*self.command, "serve"],
                cwd=self.folder,
                env=environment(**self.settings),
                stdin=subprocess.DEVNULL,
                stdout=output if terminal is None else terminal,
                stderr=errors,
            )

    def wait_ready(self, seconds: float = START_SECONDS) -> None:
        """Returns when the server says that it is ready."""

        def ready() -> bool:
            assert self.process.poll() is None, self.log.read_text()
            return "Hitchpost is ready." in self.output.read_text()

        eventually("the server is ready", ready, seconds)

    @property
    def address(self) -> str:
        """Where the gRPC workers listen."""
        return self.settings["grpc_address"]

    @property
    def web_url(self) -> str:
        """The web process's address as a URL."""
        return f"http://{self.settings['web_address']}"

    def children(self) -> list[psutil.Process]:
        """The processes that serve."""
        return psutil.Process(self.process.pid).children()

    def logged(self, **fields: Any) -> list[dict[str, Any]]:
        """The log's lines that have these values; those of calls are waited for until no more come."""
        if fields.get("message") == "call":
            self._wait_for_calls()
        lines = [json.loads(line) for line in whole_lines(self.log) if line.startswith("{")]
        return [line for line in lines if fields.items() <= line.items()]

    def _wait_for_calls(self) -> None:
        """Lines of calls come a moment after the calls."""
        size = -1
        while size != self.log.stat().st_size:
            size = self.log.stat().st_size
            time.sleep(4 * FLUSH_SECONDS)

    def terminate(self) -> None:
        """Asks the server to stop, without waiting for it."""
        self.process.terminate()

    def wait(self, seconds: float = STOP_SECONDS) -> int:
        """The exit code."""
        return self.process.wait(seconds)

    def stop(self, seconds: float = STOP_SECONDS) -> int:
        """Stops the server by SIGTERM and returns its exit code."""
        self.terminate()
        return self.wait(seconds)

    def kill(self) -> None:
        """Ends what is left of it."""
        if self.process.poll() is None:
            left = [*self.children(), psutil.Process(self.process.pid)]
            for process in left:
                process.kill()
            self.process.wait(STOP_SECONDS)

    def new_client(self, channel: grpc.Channel) -> Client:
        """A client with a project and a key of its own, made as an operator makes them."""
        name = unique("project")
        project_id = printed("projects", "create", name, **self.settings).strip()
        key = printed("keys", "create", name, **self.settings).strip()
        return Client(channel, key, project_id=project_id)

    def new_admin_key(self) -> str:
        """A key that administers the server."""
        return printed("keys", "create", "--admin", "--name", unique("admin"), **self.settings).strip()

    def write(self, statement: str, arguments: Sequence[Any]) -> None:
        """Runs a statement in the server's database."""
        rows(self.settings["database_url"], statement, *arguments)

    def worker_of(self, channel: grpc.Channel) -> int:
        """The process id of the worker that this channel is connected to."""
        mark = unique("which-worker")
        method = MESSAGES["SocialAccountService/ListSocialAccounts"]
        rpc = channel.unary_unary(f"/{method.containing_service.full_name}/{method.name}")
        with pytest.raises(grpc.RpcError, match="UNAUTHENTICATED"):
            rpc(b"", metadata=[("x-request-id", mark)], timeout=10, wait_for_ready=True)
        [line] = eventually("the call is in the log", lambda: self.logged(message="call", request_id=mark))
        return int(line["process"])

    @contextmanager
    def channels_by_worker(self, workers: int, each: int = 1) -> Iterator[dict[int, list[grpc.Channel]]]:
        """Channels that reach every worker, `each` of them per worker, by the worker's process id.

        The kernel chooses a connection's worker, so this opens connections until all are reached.
        """
        opened: list[grpc.Channel] = []
        found: dict[int, list[grpc.Channel]] = {}
        try:
            for _ in range(64 * each):
                opened.append(local_channel(self.address))
                found.setdefault(self.worker_of(opened[-1]), []).append(opened[-1])
                if len(found) == workers and all(len(channels) >= each for channels in found.values()):
                    break
            assert len(found) == workers, f"only {len(found)} of {workers} workers answer"
            yield {pid: channels[:each] for pid, channels in found.items()}
        finally:
            for channel in opened:
                channel.close()


def new_server(folder: Path, database_url: str | None, **settings: str) -> Server:
    """A server that has not been started; without a database URL it is one in dev mode."""
    defaults = {
        "grpc_address": f"127.0.0.1:{free_port()}",
        "web_address": f"127.0.0.1:{free_port()}",
        "workers": "1",
        "sandbox": "true",
        "call_loop": CALL_LOOP,
        "platforms_file": str(PLATFORMS_FILE),
    }
    if database_url is not None:
        defaults |= {"database_url": database_url, "encryption_keys": ENCRYPTION_KEY}
    name = unique("server")
    log = folder / f"{name}.log"
    LOG_FILES.append(log)
    return Server(defaults | settings, log, folder / f"{name}.out")


@contextmanager
def serving(folder: Path, database_url: str | None, **settings: str) -> Iterator[Server]:
    """Runs a new server until the end of the block, unless it has ended before."""
    with started(new_server(folder, database_url, **settings)) as server:
        yield server


@contextmanager
def started(server: Server) -> Iterator[Server]:
    """Runs this server until the end of the block, unless it has ended before."""
    server.start()
    try:
        server.wait_ready()
        yield server
        if server.process.poll() is None:
            assert server.stop() == 0, server.log.read_text()
    finally:
        server.kill()
