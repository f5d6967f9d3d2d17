"""Good clients: ordinary calls, how long they took and how they ended, and what runs in other processes."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import Any

import grpc

from tests.kit.servers import Server
from tests.kit.support import MESSAGES, Client, code_of


@dataclass
class Calls:
    """How calls ended, by code, and how long each took, in seconds."""

    codes: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)

    def time(self, call: Callable[[], Any]) -> str:
        """Makes the call and returns its code."""
        began = time.perf_counter()
        code = code_of(call)
        self.seconds.append(time.perf_counter() - began)
        self.codes[code] += 1
        return code

    def percentile(self, percent: float) -> float:
        """In milliseconds."""
        ordered = sorted(self.seconds)
        return 1000 * ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]

    def __str__(self) -> str:
        codes = ", ".join(f"{code} {count:,}" for code, count in sorted(self.codes.items()))
        if not self.seconds:
            return "no calls"
        return f"p50 {self.percentile(50):.1f} ms, p99 {self.percentile(99):.1f} ms ({codes})"


def get(client: Client, account_id: str, timeout: float = 15) -> Any:
    """GetSocialAccount."""
    return client("SocialAccountService/GetSocialAccount", social_account_id=account_id, timeout=timeout)


def gets(clients: Sequence[Client], account_id: str, *, calls: int = 100_000, seconds: float) -> list[Calls]:
    """Gets by each client in turn: so many each, or as many as this time allows.

    Whatever else the machine does meanwhile, it does to all of them.
    """
    made, deadline = [Calls() for _ in clients], time.monotonic() + seconds
    for _ in range(calls):
        for client, its in zip(clients, made, strict=True):
            its.time(lambda client=client: get(client, account_id))
        if time.monotonic() > deadline:
            break
    return made


def ordinary(client: Client, account_id: str, number: int) -> Any:
    """One of the calls that a good client makes."""
    match number % 4:
        case 0:
            return client("SocialAccountService/ListSocialAccounts", page_size=10, timeout=15)
        case 1:
            return client.draft(account_id, caption=f"ordinary {number}")
        case 2:
            return client("SocialPostService/ListSocialPosts", page_size=10, timeout=15)
    return get(client, account_id)


@contextmanager
def ordinary_calls(clients: Sequence[Client], account_id: str) -> Iterator[Calls]:
    """A thread for each client makes ordinary calls until the end of the block."""
    made, stop = Calls(), threading.Event()

    def run(client: Client) -> None:
        for number in range(1_000_000):
            if stop.is_set():
                return
            made.time(lambda number=number: ordinary(client, account_id, number))

    threads = [threading.Thread(target=run, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    try:
        yield made
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)


def begin(client: Client, method: str, timeout: float = 30, **fields: Any) -> grpc.Future:
    """Starts a call without waiting for it."""
    descriptor = MESSAGES[method]
    rpc = client.channel.unary_unary(
        f"/{descriptor.containing_service.full_name}/{descriptor.name}",
        response_deserializer=descriptor.output_type._concrete_class.FromString,
    )
    request = descriptor.input_type._concrete_class(**fields)
    return rpc.future(request.SerializeToString(), metadata=client.metadata, timeout=timeout)


def codes(begun: Sequence[grpc.Future]) -> Counter[str]:
    """Waits for these calls, and counts how they ended."""
    return Counter(code_of(call.result) for call in begun)


@contextmanager
def clients_of_each_worker(server: Server, workers: int, each: int = 1) -> Iterator[list[Client]]:
    """Clients of one new project, on connections of their own, `each` of them to every worker."""
    with server.channels_by_worker(workers, each) as by_worker:
        channels = [channel for channels in by_worker.values() for channel in channels]
        first = server.new_client(channels[0])
        yield [Client(channel, first.key, project_id=first.project_id) for channel in channels]


def elsewhere(function: Callable[..., Counter[str]], *arguments: Any, processes: int = 1) -> Counter[str]:
    """Runs the function in processes of their own, and adds up what they return."""
    # Not forked: gRPC's threads would be missing in the copy.
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        running = [pool.submit(function, *arguments) for _ in range(processes)]
        return sum((done.result() for done in running), Counter())
