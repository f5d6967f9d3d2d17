"""A failed call leaves nothing behind that only the cyclic collector would find: such a cycle keeps the
request, up to 4 MiB of it, until the collector comes."""

import gc
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Any

import pytest

from generated.hitchpost.v1 import social_account_service_pb2 as accounts_pb
from server.accounts.accounts import Accounts
from server.base.identity import utc_now
from server.projects import api_keys, projects
from server.rpc.call import Call, Method, Refusal
from server.rpc.key_ring import KeyRing
from server.rpc.layers import compose
from server.rpc.registry import RPCS
from server.rpc.social_accounts import SocialAccountServicer
from server.rpc.social_posts import SocialPostServicer
from server.storage.database import database
from tests.conftest import Running
from tests.kit.servers import locked_row
from tests.kit.support import Client, import_request

GET, IMPORT = "SocialAccountService/GetSocialAccount", "SocialAccountService/ImportSocialAccount"
UPDATE, DELETE = "SocialAccountService/UpdateSocialAccount", "SocialAccountService/DeleteSocialAccount"
UNKNOWN = "sa_01ARZ3NDEKTSV4RRFFQ69G5FAV"


class Worker:
    """What a worker does with a call, without the wire."""

    def __init__(self, running: Running, client: Client) -> None:
        app = running.app
        self.client = client
        self.database_url = running.database_url
        self._keys = KeyRing()
        self._keys.start()
        self._servicers = {
            "SocialAccountService": SocialAccountServicer(
                app.accounts, app.attempts, app.confirmations, app.app_passwords, app.clock
            ),
            "SocialPostService": SocialPostServicer(app.posts, app.dispatch, app.rehearsal, app.clock),
        }

    def call(self, name: str, request: bytes, metadata: Any = None) -> str:
        """The status code of a call of the method."""
        method = self._method(name)
        call = Call(self.client.metadata if metadata is None else metadata)
        admitted: SimpleQueue[None] = SimpleQueue()
        method.admit(call, lambda: admitted.put(None))
        admitted.get(timeout=20)
        if call.code.name == "OK":
            method.rows(request, call)
            method.serve(request, call)
        method.ended(call)
        return call.code.name

    def _method(self, name: str) -> Method:
        rpc = RPCS[f"/hitchpost.v1.{name}"]
        method = compose(self._keys, rpc, self._servicers[name.partition("/")[0]])
        assert isinstance(method, Method)
        return method

    def refuse(self, why: Refusal) -> str:
        """The status code of a call that is refused."""
        method = self._method(GET)
        call = Call()
        method.refuse(call, why)
        return call.code.name

    def stop(self) -> None:
        """Ends its thread."""
        self._keys.stop()


@pytest.fixture
def worker(running: Running, client: Client) -> Iterator[Worker]:
    made = Worker(running, client)
    yield made
    made.stop()


def get(account_id: str) -> bytes:
    """A request."""
    return accounts_pb.GetSocialAccountRequest(social_account_id=account_id).SerializeToString()


def broken(*_: object) -> None:
    """A method with a defect."""
    raise RuntimeError("a defect")


def timed_out(worker: Worker) -> str:
    """A statement that takes too long, since the row is locked."""
    account = worker.client.connect()
    request = accounts_pb.DisconnectSocialAccountRequest(social_account_id=account.id)
    database.fetch("SET statement_timeout = 100")
    try:
        with locked_row(worker.database_url, account.id):
            return worker.call("SocialAccountService/DisconnectSocialAccount", request.SerializeToString())
    finally:
        database.close()


def has_posts(worker: Worker) -> str:
    """A foreign key that is violated."""
    account = worker.client.connect()
    worker.client.draft(account.id)
    request = accounts_pb.DeleteSocialAccountRequest(social_account_id=account.id)
    return worker.call(DELETE, request.SerializeToString())


def owned_by_another(worker: Worker) -> str:
    """A hijack."""
    worker.client.connect("profile", external_id="alice")
    return worker.call(IMPORT, import_request("profile", "bob").SerializeToString())


def etag_mismatch(worker: Worker) -> str:
    """An update of what has changed."""
    account = worker.client.connect()
    request = accounts_pb.UpdateSocialAccountRequest(
        social_account=accounts_pb.SocialAccount(id=account.id, etag="99", metadata={"a": "b"})
    )
    return worker.call(UPDATE, request.SerializeToString())


def read_only(worker: Worker) -> str:
    """A write with a key that only reads."""
    key = projects.create_key(worker.client.project_id, "reader", utc_now(), read_only=True)
    metadata = [("authorization", f"Bearer {key}")]
    return worker.call(IMPORT, import_request("x", None).SerializeToString(), metadata)


def confined(worker: Worker) -> str:
    """A call for another owner."""
    account = worker.client.connect(external_id="alice")
    return worker.call(GET, get(account.id), worker.client.as_owner("bob").metadata)


FAILURES: dict[str, tuple[str, Callable[[Worker], str]]] = {
    "no key": ("UNAUTHENTICATED", lambda worker: worker.call(GET, get(UNKNOWN), [])),
    "malformed key": (
        "UNAUTHENTICATED",
        lambda worker: worker.call(GET, get(UNKNOWN), [("authorization", "Bearer hp_wrong")]),
    ),
    "unknown key": (
        "UNAUTHENTICATED",
        lambda worker: worker.call(GET, get(UNKNOWN), [("authorization", f"Bearer {api_keys.generate()}")]),
    ),
    "read-only key": ("PERMISSION_DENIED", read_only),
    "malformed owner": (
        "INVALID_ARGUMENT",
        lambda worker: worker.call(
            GET, get(UNKNOWN), [*worker.client.metadata, ("x-external-id-bin", b"\xff")]
        ),
    ),
    "no message of its type": ("INVALID_ARGUMENT", lambda worker: worker.call(GET, b"\xff\xff")),
    "a wrong field": ("INVALID_ARGUMENT", lambda worker: worker.call(GET, get("x"))),
    "not found": ("NOT_FOUND", lambda worker: worker.call(GET, get(UNKNOWN))),
    "another owner": ("PERMISSION_DENIED", confined),
    "owned by another": ("ALREADY_EXISTS", owned_by_another),
    "etag mismatch": ("ABORTED", etag_mismatch),
    "account with posts": ("FAILED_PRECONDITION", has_posts),
    "statement timeout": ("DEADLINE_EXCEEDED", timed_out),
    **{
        why.name: (code, lambda worker, why=why: worker.refuse(why))
        for why, code in {
            Refusal.OVERLOADED: "RESOURCE_EXHAUSTED",
            Refusal.NO_MESSAGE: "INVALID_ARGUMENT",
            Refusal.LATE_MESSAGE: "DEADLINE_EXCEEDED",
        }.items()
    },
}


def garbage(run: Callable[[], object]) -> int:
    """How many objects the run leaves that nothing but the collector would find."""
    gc.collect()
    gc.disable()
    try:
        run()
        return gc.collect()
    finally:
        gc.enable()


@pytest.mark.parametrize(("code", "fail"), FAILURES.values(), ids=FAILURES)
def test_a_failed_call_leaves_no_garbage(worker: Worker, code: str, fail: Callable[[Worker], str]) -> None:
    # The first time something may be made that stays, such as a statement.
    assert fail(worker) == code
    codes: list[str] = []
    assert garbage(lambda: codes.append(fail(worker))) == 0
    assert codes == [code]


def test_a_defect_leaves_no_garbage(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Accounts, "get", broken)
    assert worker.call(GET, get(UNKNOWN)) == "INTERNAL"
    assert garbage(lambda: worker.call(GET, get(UNKNOWN))) == 0


def test_every_refusal_is_among_them() -> None:
    assert {why.name for why in Refusal} <= FAILURES.keys()
