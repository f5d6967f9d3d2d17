"""The figures that Hitchpost has to reach: ratios of medians, each of two things measured in one run."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median

from benchmarks import throughput
from benchmarks.memory import FEW, MANY
from benchmarks.scale import FAR_PAGE
from benchmarks.throughput import BARE, CORES, FASTAPI, GO, HITCHPOST, ONE_PROCESS, REST, Case


@dataclass(frozen=True)
class Measured:
    """Everything that was measured."""

    cases: Mapping[str, Case]
    latencies: Mapping[str, list[float]]
    pages: Mapping[int, list[float]]
    memory: Mapping[int, int]


@dataclass(frozen=True)
class Figure:
    """A ratio and what it has to be."""

    name: str
    limit: float
    value: Callable[[Measured], float]
    at_most: bool = False

    def reached(self, measured: Measured) -> bool:
        """Whether it is what it has to be."""
        value = self.value(measured)
        return value <= self.limit if self.at_most else value >= self.limit


def _rates(case: str, other: str, ours: str = HITCHPOST) -> Callable[[Measured], float]:
    return lambda measured: measured.cases[case].median(ours) / measured.cases[case].median(other)


def _two_processes(measured: Measured) -> float:
    case = measured.cases["list 5"]
    return _without_generator(case, HITCHPOST) / _without_generator(case, ONE_PROCESS)


def _without_generator(case: Case, contender: str) -> float:
    """Requests per second if the cores that the generator took had been there for the service, too."""
    return median(
        sample.rate * CORES / (CORES - sample.generator_cores) for sample in case.samples[contender]
    )


FIGURES = [
    Figure("list by external_id (5 rows): Hitchpost / FastAPI + SQLAlchemy", 3.0, _rates("list 5", FASTAPI)),
    Figure("list by external_id (5 rows): Hitchpost / bare gRPC", 0.50, _rates("list 5", BARE)),
    Figure("get by id: Hitchpost / bare gRPC", 0.60, _rates("get", BARE)),
    Figure("list by external_id (5 rows): Hitchpost / grpc-go + pgx", 0.50, _rates("list 5", GO)),
    Figure("get by id: Hitchpost / grpc-go + pgx", 0.60, _rates("get", GO)),
    Figure("list a page of 50 rows: Hitchpost / FastAPI + SQLAlchemy", 3.2, _rates("list 50", FASTAPI)),
    Figure("list by external_id (5 rows): REST / FastAPI + SQLAlchemy", 1.5, _rates("list 5", FASTAPI, REST)),
    Figure("get by id: REST / FastAPI + SQLAlchemy", 1.5, _rates("get", FASTAPI, REST)),
    Figure("create post: Hitchpost / FastAPI + SQLAlchemy", 2.0, _rates("create post", FASTAPI)),
    Figure(
        "p50 of list by external_id: 10,000,000 rows / 10,000 rows",
        1.2,
        lambda measured: median(measured.latencies["bench_10m"]) / median(measured.latencies["bench_10k"]),
        at_most=True,
    ),
    Figure(
        "server time: page 1,000 / page 1",
        1.2,
        lambda measured: median(measured.pages[FAR_PAGE]) / median(measured.pages[1]),
        at_most=True,
    ),
    Figure("two processes / one, the generator's share taken off", 1.6, _two_processes),
    Figure(
        "memory of a worker: after 1,000,000 calls / after 10,000",
        1.1,
        lambda measured: measured.memory[MANY] / measured.memory[FEW],
        at_most=True,
    ),
]
CONTENDERS = [
    HITCHPOST,
    ONE_PROCESS,
    throughput.REST,
    BARE,
    throughput.PINNED,
    throughput.LOOP,
    throughput.STATEMENT,
    FASTAPI,
    throughput.AIO,
    GO,
    throughput.PGBENCH,
]
