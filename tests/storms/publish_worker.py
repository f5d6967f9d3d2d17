"""Worker processes of a storm, each forked from one that has imported all of this, so that there can be many
and one that was killed is back at once."""

import logging
import multiprocessing
from multiprocessing.process import BaseProcess
from random import Random
from threading import Event

from server.app import App, build
from server.config import Settings
from server.run.worker import due_work, serve_worker
from server.storage.due_work import Work
from tests.storms import refresh_worker

FORKS = multiprocessing.get_context("forkserver")
# All that storms fork: whoever comes first starts the one server.
FORKS.set_forkserver_preload([refresh_worker.__name__, __name__])


def settings(url: str, platform_url: str, key: str, threads: int = 4) -> Settings:
    """Of a worker process whose sandbox is at this address."""
    return Settings(
        database_url=url,
        public_url=platform_url,
        encryption_keys=key,
        dev_mode=True,
        worker_threads=threads,
    )


def posts_of(app: App) -> Work:
    """The kind of due work that sends."""
    [work] = [work for work in due_work(app) if work.name == "posts"]
    return work


def serve(of: Settings) -> None:
    """Does what is due, of every kind, until it is killed."""
    logging.disable()
    serve_worker(build(of), Event(), Event())


class Crew:
    """So many worker processes, and what happens to them."""

    def __init__(self, workers: int, of: Settings) -> None:
        self._settings = of
        self._chance = Random(13)
        self._running = [self._begin() for _ in range(workers)]
        self.deaths = 0

    def _begin(self) -> BaseProcess:
        process = FORKS.Process(target=serve, args=(self._settings,), daemon=True)
        process.start()
        return process

    def kill_one(self) -> None:
        """A random one, as by kill -9; another takes its place."""
        place = self._chance.randrange(len(self._running))
        self._running[place].kill()
        self._running[place].join(20)
        self._running[place] = self._begin()
        self.deaths += 1

    def processes(self) -> list[int]:
        """Their process ids."""
        return [process.pid for process in self._running if process.pid]

    def end(self) -> None:
        """All of them."""
        for process in self._running:
            process.kill()
            process.join(20)

    def __enter__(self) -> "Crew":
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
