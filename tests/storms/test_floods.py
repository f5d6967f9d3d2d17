"""Floods of open calls and large messages: what a worker may take for them, and that it gives it back.

A worker has at most 1.3 times its memory after a flood and at most a minute of ordinary calls.
"""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import grpc
import psutil
import pytest

from generated.hitchpost.v1.social_account_service_pb2 import GetSocialAccountRequest
from tests.kit.servers import serving
from tests.kit.support import Client
from tests.storms import floods, memory
from tests.storms.calls import clients_of_each_worker, codes, elsewhere, ordinary_calls
from tests.storms.http2 import RESET, Connection, message

WORKERS = 2
WARM_SECONDS = 2.5
PEAK_MB = 400
AFTERWARDS = 1.3
FOUR_MB = 4 * 1024 * 1024 - 1024
WRONG_KEY = "hp_" + "x" * 43
ANSWERS = {"OK", "NOT_FOUND", "UNAUTHENTICATED", "RESOURCE_EXHAUSTED"}
# How calls without a whole message may end, and what floods.py counts beside codes.
OTHERWISE = {"CANCELLED", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", RESET, "open", "opened", "connections"}
CODES = {code.value[0]: code.name for code in grpc.StatusCode}


@dataclass(frozen=True)
class Flood:
    """Runs `hostile` in so many processes, each with an address, a key and `arguments`."""

    name: str
    hostile: Callable[..., Counter[str]]
    arguments: tuple[int | bytes, ...]
    processes: int = 2
    key: str | None = None

    def run(self, address: str, key: str) -> Counter[str]:
        """How the hostile calls ended; `key` is a valid one."""
        used = key if self.key is None else self.key
        return elsewhere(self.hostile, address, used, *self.arguments, processes=self.processes)


def large_messages(address: str, key: str, calls: int, at_once: int) -> Counter[str]:
    """Valid Gets of 4 MB, most of it a field that the server does not know; counts codes."""
    counted: Counter[str] = Counter()
    # Field 15, of bytes.
    padding = b"\x7a" + _varint(FOUR_MB - 100) + bytes(FOUR_MB - 100)
    account = GetSocialAccountRequest(social_account_id=f"sa_{'0' * 26}").SerializeToString()
    with grpc.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
        rpc = channel.unary_unary(floods.GET)
        for begun in range(0, calls, at_once):
            some = range(min(at_once, calls - begun))
            metadata = floods.authorization(key)
            counted += codes([rpc.future(account + padding, metadata=metadata, timeout=60) for _ in some])
    return counted


def _varint(number: int) -> bytes:
    parts = []
    while number > 127:
        parts.append(number & 127 | 128)
        number >>= 7
    return bytes([*parts, number])


# The tag of posts that make a page of 3 MB.
LARGE = b"large"
HALF_A_LARGE_ONE = message(bytes(2 * 1024 * 1024), FOUR_MB)
FLOODS = [
    Flood("768 calls of 4 MB with a wrong key", large_messages, (192, 32), processes=4, key=WRONG_KEY),
    Flood("192 calls of 4 MB at once", large_messages, (48, 48), processes=4),
    Flood("60,000 calls of headers only without a key", floods.headers_only, (30_000,), key=""),
    Flood("60,000 calls of headers only", floods.headers_only, (30_000,)),
    Flood("60,000 calls with a few bytes of a message", floods.half_sent, (30_000, message(b"", 40)[:4])),
    Flood("400 calls with half of 4 MB", floods.half_sent, (200, HALF_A_LARGE_ONE, 15.0)),
    Flood("600 pages of 3 MB that nobody reads", floods.unread, (100, LARGE), processes=6),
]


@pytest.mark.parametrize("flood", FLOODS, ids=lambda flood: flood.name.replace(" ", "-"))
def test_a_worker_gives_back_what_a_flood_took(
    flood: Flood, run_dir: Path, new_database: Callable[[], str]
) -> None:
    with (
        serving(run_dir, new_database(), workers=str(WORKERS)) as server,
        clients_of_each_worker(server, WORKERS) as clients,
    ):
        account_id = clients[0].connect().id
        _fill_pages(clients[0], account_id)
        with ordinary_calls(clients, account_id):
            time.sleep(WARM_SECONDS)
        processes = memory.workers(server)
        before = memory.resident(processes)
        with memory.watched(processes) as peak, ordinary_calls(clients, account_id) as meanwhile:
            hostile = flood.run(server.address, str(clients[0].key))
        left = memory.resident(processes)
        after, seconds = _after_ordinary_calls(clients, account_id, before, processes)
        ended = _named(hostile)
        figures = (
            f"{flood.name}: {memory.said(before)} before, {memory.said(peak.of)} at most, "
            f"{memory.said(left)} at its end, {memory.said(after)} after {seconds:.0f} s of ordinary calls; "
            f"good clients meanwhile {meanwhile}; hostile {ended}"
        )
        print(f"\n{figures}")
        assert memory.workers(server) == processes, f"a worker ended; {figures}"
    assert max(peak.of.values()) <= PEAK_MB, figures
    assert all(after[pid] <= AFTERWARDS * size for pid, size in before.items()), figures
    assert meanwhile.codes["OK"] >= max(20, meanwhile.codes.total() / 2), figures
    assert set(meanwhile.codes) <= {"OK", "RESOURCE_EXHAUSTED", "CANCELLED"}, figures
    # gRPC itself ends some, whoever made them, while thousands wait that the worker has not come to yet.
    assert meanwhile.codes["CANCELLED"] <= meanwhile.codes.total() / 100, figures
    assert set(ended) <= ANSWERS | OTHERWISE, figures


def _named(hostile: Counter[str]) -> dict[str, int]:
    """With the names of codes where a raw client has seen numbers."""
    return {CODES[int(code)] if code.isdecimal() else code: count for code, count in hostile.items()}


def _fill_pages(client: Client, account_id: str) -> None:
    for _ in range(50):
        client.draft(account_id, caption="x" * 62_000, external_id=LARGE.decode())


def _after_ordinary_calls(
    clients: list[Client], account_id: str, before: dict[int, float], processes: list[psutil.Process]
) -> tuple[dict[int, float], float]:
    """What workers have when they have given it back, or after a minute; and how many seconds that took."""
    began = time.monotonic()
    with ordinary_calls(clients, account_id) as made:
        while time.monotonic() - began < 60:
            time.sleep(2)
            after = memory.resident(processes)
            if all(after.get(pid, 0) <= AFTERWARDS * size for pid, size in before.items()):
                break
    assert set(made.codes) == {"OK"}, f"after the flood: {made}"
    return after, time.monotonic() - began


def test_calls_that_send_no_message_in_time_end(run_dir: Path, new_database: Callable[[], str]) -> None:
    with (
        serving(run_dir, new_database()) as server,
        clients_of_each_worker(server, 1) as [client],
    ):
        connection, began = Connection(server.address), time.monotonic()
        for part in (b"", message(b"", 40)[:4], message(bytes(10_000), FOUR_MB)):
            for _ in range(10):
                stream = connection.open(floods.GET, floods.authorization(str(client.key)))
                connection.send(stream, part)
        while len(connection.statuses) < 30 and time.monotonic() - began < 60:
            connection.poll(0.2)
        seconds = time.monotonic() - began
        ended = Counter(connection.statuses.values())
        floods.close([connection])
    print(f"\ncalls without a whole message: {dict(_named(ended))} of 30 ended after {seconds:.0f} s")
    assert ended.total() == 30, f"{30 - ended.total()} of 30 calls are open after {seconds:.0f} s"
