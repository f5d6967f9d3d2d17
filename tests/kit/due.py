"""Due work, done at once and in the test's own thread."""

from threading import Event

from server.app import App
from server.run.worker import due_work


def work_off(app: App) -> None:
    """Does all that is due now, of every kind."""
    for work in due_work(app):
        for _ in range(1000):
            if not work.turn("test", lambda: None, Event()):
                break
