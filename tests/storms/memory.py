"""How much memory the gRPC workers of a server have, while something happens and after it."""

import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import psutil

from tests.kit.servers import Server

MB = 1024 * 1024
SAMPLE_SECONDS = 0.05


def workers(server: Server) -> list[psutil.Process]:
    """The server's gRPC processes."""
    found = []
    for child in server.children():
        # One that has been killed has no command line any more.
        with suppress(psutil.NoSuchProcess):
            if "grpc" in child.cmdline():
                found.append(child)
    return found


def resident(processes: Iterable[psutil.Process]) -> dict[int, float]:
    """MB of each, by its process id; those that have ended are missing."""
    sizes = {}
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            sizes[process.pid] = process.memory_info().rss / MB
    return sizes


@dataclass
class Peak:
    """The most that each process has had, in MB by process id."""

    of: dict[int, float] = field(default_factory=dict)

    def add(self, sampled: dict[int, float]) -> None:
        """Takes a sample."""
        for pid, megabytes in sampled.items():
            self.of[pid] = max(megabytes, self.of.get(pid, 0))


@contextmanager
def watched(processes: Sequence[psutil.Process]) -> Iterator[Peak]:
    """Samples the processes until the end of the block."""
    peak, stop = Peak(), threading.Event()

    def sample() -> None:
        while not stop.wait(SAMPLE_SECONDS):
            peak.add(resident(processes))

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield peak
    finally:
        stop.set()
        thread.join(20)


def said(sizes: dict[int, float]) -> str:
    """As a person reads it: `97 and 101 MB`."""
    return " and ".join(f"{size:.0f}" for _, size in sorted(sizes.items())) + " MB"
