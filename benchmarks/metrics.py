"""What metrics cost: a get with and without them, in turn, many times over; `make bench-metrics`."""

import argparse
import random
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from benchmarks import contenders, load, scratch
from benchmarks.contenders import Running
from benchmarks.data import Dataset, build
from benchmarks.throughput import CORES, WARM_UP_CALLS, Case, cases, grpc_request, note
from server.base import metrics

ROWS = 10_000
ROUNDS = 31
SECONDS = 1.0
# Of the rate without them.
LEAST = 0.97
ON, OFF = "with metrics", "without"
# What a call with one statement may cost in its process, in microseconds.
MOST_US = 5.0


def main() -> int:
    """The exit code: 1 when metrics cost more than they may."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.metrics", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="runs of each (default: %(default)s)")
    arguments = parser.parse_args()
    counting = count_us()
    print(f"a call and its statement are noted and counted in {counting:.2f} µs, at most {MOST_US:g}")
    with scratch.postgres() as postgres, tempfile.TemporaryDirectory() as folder:
        dataset = build(lambda name: postgres.get_uri(database=name), "bench_metrics", ROWS)
        ratios = measure(dataset, Path(folder), arguments.rounds)
    ratio = median(ratios)
    print(f"get by id, {ON} / {OFF}: {ratio:.3f}, at least {LEAST:g}; {min(ratios):.2f} to {max(ratios):.2f}")
    return int(counting > MOST_US or ratio < LEAST)


def count_us(calls: int = 2_000, rounds: int = 30) -> float:
    """Microseconds that a call with one statement costs, in this process and alone."""
    took = []
    for _ in range(rounds):
        start = time.process_time()
        for _ in range(calls):
            metrics.call_ended("SocialAccountService/GetSocialAccount", "grpc", "OK", "", 0.002)
            metrics.statement_ran("accounts.get", 0.0002)
        metrics.count()
        took.append((time.process_time() - start) / calls * 1e6)
    return median(took)


def measure(dataset: Dataset, folder: Path, rounds: int) -> list[float]:
    """The rate with metrics by that without, of each round: what comes and goes slowly meets both alike."""
    [get] = [case for case in cases(dataset) if case.name == "get"]
    (folder / "replies").mkdir()
    with ExitStack() as stack:
        running = {
            name: stack.enter_context(
                contenders.hitchpost(dataset, CORES, folder, HITCHPOST_METRICS=str(name == ON))
            )
            for name in (ON, OFF)
        }
        note(get, running[ON].port, dataset.key, folder / "replies")
        for contender in running.values():
            load.h2load(contender.port, grpc_request(get, dataset, folder), calls=WARM_UP_CALLS)
        return [_round(running, get, dataset, folder, number) for number in range(rounds)]


def _round(running: dict[str, Running], get: Case, dataset: Dataset, folder: Path, number: int) -> float:
    request, rates = grpc_request(get, dataset, folder), {}
    for name in random.Random(number).sample([ON, OFF], 2):
        rates[name] = load.h2load(running[name].port, request, seconds=SECONDS).rate
    return rates[ON] / rates[OFF]


if __name__ == "__main__":
    sys.exit(main())
