"""`hitchpost serve`: the processes of a role, started, kept running and stopped together."""

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Event, Thread
from typing import NamedTuple

from server.base import logs, metrics
from server.run import log_level

log = logging.getLogger(__name__)

_HELD_UP = (log_level.DEBUG, log_level.AS_SET)

RESTART_SECONDS = 1.0
READY = b"ready\n"
# What gRPC has to find in the environment when Python imports it. With this switch off, the thread that waits
# for calls waits for the network itself; with it on, threads of gRPC's do, and wake each other for every call
# (decision 10). The variable is described in grpc's doc/environment_variables.md.
GRPC_ENVIRONMENT = {"GRPC_EXPERIMENTS": "-event_engine_listener"}
# What glibc has to find when a process starts: it then gives back each block of this size as soon as it is
# freed. By default it would soon keep blocks of up to 32 MB for the next one of their size, in each thread.
MALLOC_ENVIRONMENT = {"MALLOC_MMAP_THRESHOLD_": str(128 * 1024)}
# Where `server` is: children import ours, whatever else is called so in their folder or on their path.
ROOT = str(Path(__file__).resolve().parents[2])


class StartFailed(Exception):
    """A process did not become ready; the text says which, its log says why."""


class Job(NamedTuple):
    """What a process is for: its kind, the core that it keeps to, if any, and where it listens by itself."""

    kind: str
    core: int | None = None
    own_address: str | None = None

    @property
    def arguments(self) -> list[str]:
        """Of `hitchpost process`."""
        given = {"--core": self.core, "--own-address": self.own_address}
        options = (str(part) for pair in given.items() if pair[1] is not None for part in pair)
        return [self.kind, *options]


class Child:
    """One process. Its stdin is a lifeline, which ends when we do; on its stdout it says that it is ready."""

    def __init__(self, job: Job, environment: Mapping[str, str]) -> None:
        self.job = job
        path = os.pathsep.join(filter(None, (ROOT, environment.get("PYTHONPATH"))))
        # A process that hears a signal before it listens would die of it: until then they wait.
        signal.pthread_sigmask(signal.SIG_BLOCK, _HELD_UP)
        self._process = subprocess.Popen(  # noqa: S603 (ourselves, with fixed arguments)
            [sys.executable, "-P", "-m", "server", "process", *job.arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**environment, "PYTHONPATH": path},
            # A Ctrl-C in the terminal is for the supervisor, which then stops everybody in order.
            process_group=0,
        )
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _HELD_UP)
        if logs.debugging():
            self.signal(log_level.DEBUG)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def wait_ready(self) -> None:
        """Returns when the process serves. Raises StartFailed when it has ended instead."""
        if self._process.stdout is None or self._process.stdout.readline() != READY:
            raise StartFailed(f"the {self.job.kind} process did not start")

    def ended(self) -> bool:
        """Whether the process is gone."""
        return self._process.poll() is not None

    def signal(self, number: int) -> None:
        """Sends the process this signal, unless it is gone."""
        if not self.ended():
            self._process.send_signal(number)

    def wait(self, seconds: float) -> int:
        """The exit code. Kills the process when it takes longer."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            log.error("killed a process that did not end", extra={"kind": self.job.kind, "pid": self.pid})
            self._process.kill()
            return self._process.wait()


class Supervisor:
    """The children, each with a job; who takes the place of one that has ended does the same."""

    def __init__(
        self,
        jobs: Sequence[Job],
        environment: Mapping[str, str],
        drain_seconds: float,
        metrics_folder: Path | None = None,
    ) -> None:
        """`metrics_folder` is where the children keep their numbers, if they do."""
        self._environment = environment
        self._metrics_folder = metrics_folder
        # Longer than the children take for it themselves.
        self._drain_seconds = drain_seconds + 5
        self._children = [self._start(index, job) for index, job in enumerate(jobs)]

    def wait_ready(self) -> None:
        """Raises StartFailed when one of the children does not start; the others are then stopped."""
        try:
            for child in self._children:
                child.wait_ready()
        except StartFailed:
            self.stop()
            raise

    def run(self, stop: Event) -> None:
        """Starts anew what ends by itself, until `stop` is set."""
        while not stop.wait(RESTART_SECONDS):
            for index, child in enumerate(self._children):
                if child.ended():
                    log.error(
                        "a process ended; starting another", extra={"kind": child.job.kind, "pid": child.pid}
                    )
                    self._children[index] = self._start(index, child.job)

    def signal(self, number: int) -> None:
        """Passes the signal on to every child."""
        for child in self._children:
            child.signal(number)

    def stop(self) -> bool:
        """Stops every child at once. Returns whether all ended well."""
        for child in self._children:
            child.signal(signal.SIGTERM)
        deadline = time.monotonic() + self._drain_seconds
        codes = {child.wait(max(0.1, deadline - time.monotonic())) for child in self._children}
        # One that was still starting, and had no handler yet, dies of the signal; it served nobody.
        return codes <= {0, -signal.SIGTERM}

    def _start(self, index: int, job: Job) -> Child:
        """A child that goes on counting where the one before, in the same place, has ended."""
        folder = self._metrics_folder
        if folder is None:
            return Child(job, self._environment)
        metrics.forget_process(folder, str(index))
        return Child(job, {**self._environment, **metrics.environment(folder, str(index))})


def stop_on_signals() -> Event:
    """An event that SIGTERM and SIGINT set."""
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


def announce_ready(ready: Event) -> None:
    """In a child: tells the supervisor, once `ready` is set."""

    def announce() -> None:
        ready.wait()
        os.write(sys.stdout.fileno(), READY)

    Thread(target=announce, name="announce", daemon=True).start()


def stop_with_supervisor(stop: Event) -> None:
    """In a child: sets `stop` when the supervisor is gone, however it went."""

    def watch() -> None:
        # Not sys.stdin.read(): it would hold a lock that the interpreter wants at its end.
        os.read(sys.stdin.fileno(), 1)
        stop.set()

    Thread(target=watch, name="lifeline", daemon=True).start()
