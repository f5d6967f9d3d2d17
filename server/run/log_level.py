"""The log's level while a process runs: SIGUSR1 makes it DEBUG, SIGUSR2 again what the settings say.

Two signals, not one that toggles: a process that has started since is told again what the others know
already, and nothing gets out of step.
"""

import signal
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread

from server.base import logs

DEBUG, AS_SET = signal.SIGUSR1, signal.SIGUSR2


def follow() -> list[Callable[[int], None]]:
    """From now on the signals are heard. Whoever is added to what this returns is told of each."""
    # Not in the handler itself: what it has interrupted may be writing to the log.
    heard: SimpleQueue[int] = SimpleQueue()
    others: list[Callable[[int], None]] = []

    def change() -> None:
        while True:
            number = heard.get()
            logs.debug(number == DEBUG)
            for tell in others:
                tell(number)

    Thread(target=change, name="log level", daemon=True).start()
    for number in (DEBUG, AS_SET):
        signal.signal(number, lambda number, _: heard.put(number))
    # Whoever has started us may have held them up until somebody listens.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (DEBUG, AS_SET))
    return others
