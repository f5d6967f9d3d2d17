"""What Hitchpost is measured beside: how each is started, and what each is asked."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from cryptography.fernet import Fernet

from benchmarks.data import Dataset

ROOT = Path(__file__).resolve().parent.parent.parent
GO = ROOT / "benchmarks" / "contenders" / "go"
START_SECONDS = 60.0
# A new port for each server, below those that the kernel gives to outgoing connections.
_ports = iter(range(21_000, 29_000))


@dataclass(frozen=True)
class Running:
    """A contender that serves."""

    port: int
    process: psutil.Process
    log: Path

    def workers(self) -> list[psutil.Process]:
        """Its processes, the oldest first."""
        return [self.process, *self.process.children(recursive=True)]

    def said(self) -> str:
        """The end of its log."""
        return self.log.read_text()[-2000:]

    def cpu_seconds(self) -> float:
        """What they have used so far."""
        return sum(sum(worker.cpu_times()[:2]) for worker in self.workers())


def hitchpost(
    dataset: Dataset, processes: int, folder: Path, **further: str
) -> AbstractContextManager[Running]:
    """The product: `hitchpost serve --role grpc`, authentication, checks and log as they are by default.

    `further` are variables of its environment.
    """
    return _hitchpost("grpc", dataset, folder, HITCHPOST_WORKERS=str(processes), **further)


def rest(dataset: Dataset, processes: int, folder: Path) -> AbstractContextManager[Running]:
    """The same over HTTP: `hitchpost serve --role web`."""
    return _hitchpost("web", dataset, folder, HITCHPOST_WEB_WORKERS=str(processes))


def _hitchpost(role: str, dataset: Dataset, folder: Path, **further: str) -> AbstractContextManager[Running]:
    port = _free_port()
    environment = {
        "HITCHPOST_DATABASE_URL": dataset.url,
        "HITCHPOST_ENCRYPTION_KEYS": Fernet.generate_key().decode(),
        f"HITCHPOST_{role.upper()}_ADDRESS": f"127.0.0.1:{port}",
        "HITCHPOST_DRAIN_TIMEOUT": "2",
        **further,
    }
    return _serving([sys.executable, "-m", "server", "serve", "--role", role], port, environment, folder)


def module(
    name: str, dataset: Dataset, processes: int, folder: Path, *arguments: str, **environment: str
) -> AbstractContextManager[Running]:
    """One of the modules in this folder."""
    command = [sys.executable, "-m", f"benchmarks.contenders.{name}", *arguments]
    return _with_port(command, dataset, processes, folder, **environment)


def go(dataset: Dataset, processes: int, folder: Path) -> AbstractContextManager[Running]:
    """grpc-go and pgx, with as many threads as the others have processes."""
    return _with_port([str(GO / "contender")], dataset, processes, folder)


def build_go() -> None:
    """Compiles it, if anything has changed."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    subprocess.run(["make", "--quiet", "build"], cwd=GO, env={**os.environ, "PATH": path}, check=True)


def _with_port(
    command: Sequence[str], dataset: Dataset, processes: int, folder: Path, **environment: str
) -> AbstractContextManager[Running]:
    port = _free_port()
    options = ["--port", str(port), "--processes", str(processes)]
    environment["BENCH_DATABASE_URL"] = dataset.url
    return _serving([*command, *options], port, environment, folder)


@contextmanager
def _serving(
    command: Sequence[str], port: int, environment: dict[str, str], folder: Path
) -> Iterator[Running]:
    log = folder / f"{port}.log"
    outside = {name: value for name, value in os.environ.items() if not name.startswith("HITCHPOST_")}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**outside, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    running = Running(port, psutil.Process(process.pid), log)
    workers = running.workers()
    try:
        _wait_for(port, process, log)
        workers = running.workers()
        yield running
    finally:
        process.send_signal(signal.SIGTERM)
        _, left = psutil.wait_procs(workers, timeout=10)
        for worker in left:
            worker.kill()
        process.wait()


def _wait_for(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"a contender ended: {log.read_text()}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                # One process answers; the others need a moment more.
                time.sleep(2)
                return
        time.sleep(0.1)
    raise RuntimeError(f"a contender does not answer: {log.read_text()}")


def _free_port() -> int:
    for port in _ports:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port
    raise RuntimeError("no port is free")
