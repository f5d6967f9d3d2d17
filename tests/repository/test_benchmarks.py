"""`make bench-check` can fail: each of its figures, by itself."""

import dataclasses
import io

import pytest
from tqdm import tqdm

from benchmarks.data import BLOCK, RowReader
from benchmarks.figures import CONTENDERS, FIGURES, Figure, Measured
from benchmarks.memory import FEW, MANY
from benchmarks.scale import FAR_PAGE
from benchmarks.throughput import BARE, FASTAPI, GO, HITCHPOST, ONE_PROCESS, REST, Case, Sample

# What everything would have to be for every figure to be reached, if only just.
RATES = {HITCHPOST: 600.0, ONE_PROCESS: 375.0, REST: 281.25, BARE: 1000.0, GO: 1000.0, FASTAPI: 187.5}


def measured(slower: str = "", times: float = 1.0) -> Measured:
    """Figures that are all reached, unless Hitchpost is so much slower (or larger) in one thing."""

    def worse(name: str) -> float:
        return times if name == slower else 1.0

    cases = {}
    for name in ("list 5", "get", "list 50", "create post"):
        rates = RATES | {ours: RATES[ours] / worse(name) for ours in (HITCHPOST, REST)}
        samples = {contender: [Sample(rate, 0, 0, 0)] * 5 for contender, rate in rates.items()}
        cases[name] = Case(name, "", None, "", samples=samples)  # type: ignore[arg-type]
    return Measured(
        cases,
        {"bench_10k": [1.0] * 5, "bench_1m": [1.0] * 5, "bench_10m": [1.2 * worse("latency")] * 5},
        {1: [1.0] * 5, FAR_PAGE: [1.2 * worse("pages")] * 5},
        {FEW: 100, MANY: round(110 * worse("memory"))},
    )


@pytest.mark.parametrize("shown", [True, False])
def test_rows_end_whether_their_progress_is_shown_or_not(shown: bool) -> None:
    total = 2 * BLOCK + 1
    with tqdm(total=total, disable=not shown, file=io.StringIO()) as bar:
        reader = RowReader(bar, total, lambda number: f"{number}\n")
        parts = [reader.read(1) for _ in range(4)]
    assert parts[-1] == ""
    assert "".join(parts).split() == [str(number) for number in range(total)]


def test_all_are_reached_when_each_is_at_its_limit() -> None:
    assert [figure.name for figure in FIGURES if not figure.reached(measured())] == []


@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure.name)
def test_each_fails_when_it_is_worse(figure: Figure) -> None:
    things = ["list 5", "get", "list 50", "create post", "latency", "pages", "memory"]
    assert any(not figure.reached(measured(thing, 2.0)) for thing in things)
    stricter = figure.limit * (0.5 if figure.at_most else 10)
    assert not dataclasses.replace(figure, limit=stricter).reached(measured())


def test_the_generators_share_is_taken_off() -> None:
    both = measured()
    busy = {**both.cases["list 5"].samples, HITCHPOST: [Sample(600, 0, 0, 1.0)] * 5}
    cases = {**both.cases, "list 5": dataclasses.replace(both.cases["list 5"], samples=busy)}
    [two] = [figure for figure in FIGURES if figure.name.startswith("two processes")]
    assert two.value(dataclasses.replace(both, cases=cases)) > two.value(both)


def test_every_contender_is_reported_once() -> None:
    assert len(CONTENDERS) == len(set(CONTENDERS))
    assert set(RATES) <= set(CONTENDERS)
