"""Calls with keys that nobody has cost no transaction each, and good clients hardly notice them."""

import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest

from generated.hitchpost.v1.social_account_service_pb2 import GetSocialAccountRequest
from tests.kit.servers import Server, eventually, printed, rows, serving
from tests.kit.support import Client, code_of
from tests.storms import floods
from tests.storms.calls import Calls, clients_of_each_worker, codes, elsewhere, get, gets

WORKERS = 2
SECONDS = 6.0
AT_ONCE = 64
KEY_PREFIX = "hp_"
# A second: health asks in every process, and the command that makes a key has some, too.
BACKGROUND = 10.0
# An idle session of PostgreSQL tells its figures after 10 s.
SETTLE_SECONDS = 11.0


def random_key() -> str:
    """A key that could be one and is none."""
    return KEY_PREFIX + secrets.token_urlsafe(32)


def malformed_key() -> str:
    """A key that can't be one: too short, a wrong checksum, other characters, or no prefix."""
    other = [random_key()[:-4], random_key() + "00000000", KEY_PREFIX + "!" * 43, secrets.token_urlsafe(34)]
    return secrets.choice(other)


@dataclass(frozen=True)
class Keys:
    """Keys to flood with, and how many transactions a second they may cost beside those of the background."""

    name: str
    make: Callable[[], str]
    same: bool
    allowed: float


KINDS = [
    Keys("one unknown key", random_key, same=True, allowed=1),
    Keys("malformed keys", malformed_key, same=False, allowed=0),
    # A look-up each would be thousands.
    Keys("random keys", random_key, same=False, allowed=200),
]


def flood(address: str, make: Callable[[], str], same: bool) -> Counter[str]:
    """Calls with wrong keys, AT_ONCE at a time, for SECONDS."""
    counted, deadline, first = Counter[str](), time.monotonic() + SECONDS, make()
    request = GetSocialAccountRequest(social_account_id=f"sa_{'0' * 26}").SerializeToString()
    with grpc.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
        rpc = channel.unary_unary(floods.GET)
        while time.monotonic() < deadline:
            keys = [first if same else make() for _ in range(AT_ONCE)]
            counted += codes(
                [rpc.future(request, metadata=floods.authorization(key), timeout=30) for key in keys]
            )
    return counted


class Transactions:
    """Counts those that a database has ended."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._count = self._counted()

    def since_last(self) -> int:
        """How many there were since this was asked before."""
        before, self._count = self._count, self._counted()
        return self._count - before

    def _counted(self) -> int:
        time.sleep(SETTLE_SECONDS)
        select = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()"
        return int(rows(self._url, select)[0][0])


@pytest.fixture(scope="module")
def two_workers(
    run_dir: Path, new_database: Callable[[], str]
) -> Iterator[tuple[Server, Client, Transactions]]:
    """A server, a client of one of its workers, and what its database does."""
    with (
        serving(run_dir, new_database(), workers=str(WORKERS)) as server,
        clients_of_each_worker(server, WORKERS) as [client, *_],
    ):
        yield server, client, Transactions(server.settings["database_url"])


@pytest.mark.parametrize("keys", KINDS, ids=lambda keys: keys.name.replace(" ", "-"))
def test_a_wrong_key_is_not_a_transaction_each_time(
    keys: Keys, two_workers: tuple[Server, Client, Transactions]
) -> None:
    server, client, transactions = two_workers
    account_id, began = client.connect().id, time.monotonic()
    [without] = gets([client], account_id, seconds=3)
    beside, refused, new_key_seconds = _flooded(server, client, account_id, keys)
    # A good client's get is one.
    cost = transactions.since_last() - without.codes.total() - beside.codes.total()
    seconds = time.monotonic() - began
    allowed = keys.allowed * SECONDS + BACKGROUND * seconds
    figures = (
        f"{keys.name}: {refused.total():,} refused calls in {SECONDS:.0f} s cost {cost:,} transactions (at "
        f"most {allowed:.0f} allowed); ended {dict(refused)}; gets of a good client {beside}, without them "
        f"{without}; a key made meanwhile worked after {new_key_seconds:.1f} s"
    )
    print(f"\n{figures}")
    assert refused.total() > 1000, figures
    assert set(refused) <= {"UNAUTHENTICATED", "RESOURCE_EXHAUSTED"}, figures
    assert set(beside.codes) == {"OK"}, figures
    assert cost <= allowed, figures


def _flooded(
    server: Server, client: Client, account_id: str, keys: Keys
) -> tuple[Calls, Counter[str], float]:
    """A good client's gets and how the flood's calls ended, and how many seconds a new key needed."""
    beside = Calls()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(elsewhere, flood, server.address, keys.make, keys.same)
        new = client.with_key(printed("keys", "create", client.project_id, **server.settings).strip())
        made = time.monotonic()
        eventually("a new key works", lambda: code_of(lambda: get(new, account_id)) == "OK", seconds=10)
        new_key_seconds = time.monotonic() - made
        while not running.done():
            beside.time(lambda: get(client, account_id))
        return beside, running.result(), new_key_seconds
