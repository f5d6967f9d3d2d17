"""What a worker's memory is after ten thousand calls and after a million."""

from pathlib import Path

from benchmarks import contenders, throughput
from benchmarks.contenders import Running
from benchmarks.data import Dataset
from benchmarks.load import h2load
from benchmarks.throughput import Case

FEW, MANY = 10_000, 1_000_000


def measure(dataset: Dataset, folder: Path, case: Case) -> dict[int, int]:
    """Resident bytes of the only worker, by how many calls it has answered."""
    with contenders.hitchpost(dataset, 1, folder) as running:
        request = throughput.grpc_request(case, dataset, folder)
        h2load(running.port, request, calls=FEW)
        after_few = _resident(running)
        h2load(running.port, request, calls=MANY - FEW)
        return {FEW: after_few, MANY: _resident(running)}


def _resident(running: Running) -> int:
    # The supervisor comes first.
    return int(running.workers()[1].memory_info().rss)
