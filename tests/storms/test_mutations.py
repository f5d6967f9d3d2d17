"""Mutated messages of every method, with a valid key: each is answered, none is an accident of the server."""

import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import grpc

from tests.kit.servers import Server, serving
from tests.kit.support import MESSAGES, Client
from tests.kit.valid_requests import valid_fields
from tests.storms import memory
from tests.storms.calls import clients_of_each_worker
from tests.storms.mutations import mutated

WORKERS = 2
SECONDS = 14.0
AT_ONCE = 64
# So often there are new valid requests: the mutated ones delete and disconnect what these name.
RENEWED_SECONDS = 4.0
ACCIDENTS = {"INTERNAL", "UNKNOWN", "UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED", "DATA_LOSS"}


def test_no_mutated_message_is_an_internal_error(run_dir: Path, new_database: Callable[[], str]) -> None:
    seed = random.randrange(1_000_000)
    chance = random.Random(seed)
    counted: Counter[tuple[str, str]] = Counter()
    with (
        serving(run_dir, new_database(), workers=str(WORKERS)) as server,
        clients_of_each_worker(server, WORKERS) as clients,
    ):
        admin_key = server.new_admin_key()
        for client in clients:
            client.admin_key = admin_key
        before, deadline = memory.workers(server), time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            _flood(server, clients, chance, counted)
        assert memory.workers(server) == before, f"a worker ended; seed {seed}"
        tracebacks = server.logged(message="unexpected error")
    codes = Counter[str]()
    for (_, code), count in counted.items():
        codes[code] += count
    figures = f"{codes.total():,} mutated messages (seed {seed}): {dict(codes.most_common())}"
    print(f"\n{figures}")
    assert {method for method, _ in counted} == MESSAGES.keys(), figures
    assert codes.total() > 5000, figures
    accidents = {what: count for what, count in counted.items() if what[1] in ACCIDENTS}
    assert not accidents, f"{accidents}; {figures}"
    assert not tracebacks, f"{tracebacks[0]}; {figures}"


def _flood(
    server: Server, clients: list[Client], chance: random.Random, counted: Counter[tuple[str, str]]
) -> None:
    """Mutates one set of valid requests for a while."""
    valid = {
        method: MESSAGES[method].input_type._concrete_class(**fields).SerializeToString()
        for method, fields in valid_fields(clients[0], server.write).items()
    }
    others, deadline = list(valid.values()), time.monotonic() + RENEWED_SECONDS
    methods = list(valid)
    while time.monotonic() < deadline:
        chosen = [chance.choice(methods) for _ in range(AT_ONCE)]
        begun = [
            _begin(chance.choice(clients), method, mutated(chance, valid[method], others))
            for method in chosen
        ]
        for method, call in zip(chosen, begun, strict=True):
            counted[method, call.code().name] += 1


def _begin(client: Client, method: str, request: bytes) -> grpc.Future:
    descriptor = MESSAGES[method]
    rpc = client.channel.unary_unary(f"/{descriptor.containing_service.full_name}/{descriptor.name}")
    return rpc.future(request, metadata=client.metadata_for(method), timeout=30)
