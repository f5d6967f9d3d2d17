"""`make bench-edge`: what a client with one connection reaches through Envoy, beside one with 32.

Each way has 32 calls under way. One after the other within each round, in another order each time.
"""

import argparse
import random
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from benchmarks import contenders, load, scratch, throughput
from benchmarks.data import Dataset, build
from benchmarks.load import CONNECTIONS
from benchmarks.throughput import CORES
from tests.kit import envoy
from tests.kit.support import free_ports

ROUNDS, SECONDS, ROWS = 15, 2.0, 10_000
CASE = "get"
# What one connection has to reach through Envoy, of what 32 reach.
ENOUGH = 0.9
ENVOY, SHARED = "Envoy", "the shared port"
Rates = Mapping[tuple[str, int], list[float]]


def measured(dataset: Dataset, folder: Path, rounds: int, seconds: float) -> Rates:
    """Calls a second, by where they went and by how many connections."""
    own = free_ports(CORES)
    workers = [f"127.0.0.1:{own + number}" for number in range(CORES)]
    [case] = [case for case in throughput.cases(dataset) if case.name == CASE]
    (folder / "replies").mkdir()
    rates: dict[tuple[str, int], list[float]] = {
        (place, connections): [] for place in (ENVOY, SHARED) for connections in (1, CONNECTIONS)
    }
    with (
        contenders.hitchpost(dataset, CORES, folder, HITCHPOST_GRPC_OWN_PORTS=str(own)) as server,
        envoy.running(folder, workers, "127.0.0.1:1") as edge,
    ):
        throughput.note(case, server.port, dataset.key, folder / "replies")
        request = throughput.grpc_request(case, dataset, folder)
        ports = {ENVOY: int(edge.plain.rpartition(":")[2]), SHARED: server.port}
        for number in range(-1, rounds):
            for place, connections in random.Random(number).sample(list(rates), len(rates)):
                found = load.h2load(ports[place], request, seconds, connections=connections)
                # The first round warms up.
                if number >= 0:
                    rates[place, connections].append(found.rate)
    return rates


def report(rates: Rates) -> Iterator[tuple[str, bool]]:
    """The lines of the table, and whether each figure is reached."""
    yield f"| {CASE}, calls a second | 32 connections | one connection | one / 32 |", True
    yield "| --- | --- | --- | --- |", True
    for place in (ENVOY, SHARED):
        many, one = (statistics.median(rates[place, connections]) for connections in (CONNECTIONS, 1))
        enough = f" (at least {ENOUGH})" if place == ENVOY else ""
        reached = place != ENVOY or one / many >= ENOUGH
        yield f"| {place} | {many:,.0f} | {one:,.0f} | {one / many:.2f}{enough} |", reached


def _run(uri_for: Callable[[str], str], arguments: argparse.Namespace) -> list[tuple[str, bool]]:
    dataset = build(uri_for, "bench_edge", ROWS)
    with tempfile.TemporaryDirectory() as folder:
        return list(report(measured(dataset, Path(folder), arguments.rounds, arguments.seconds)))


def main() -> int:
    """The exit code: 1 when the figure is not reached."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.edge", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of each, in turn (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of a run (default: %(default)s)")
    arguments = parser.parse_args()
    with scratch.postgres() as postgres:
        return scratch.verdict(_run(lambda name: postgres.get_uri(database=name), arguments))


if __name__ == "__main__":
    sys.exit(main())
