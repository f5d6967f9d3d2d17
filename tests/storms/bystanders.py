"""Others, while the web process is attacked: whether they get what they ask for, and how it is afterwards."""

import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from tests.kit.servers import Server

HEALTH = "/healthz"
CALLBACK = "/callback/sandbox?state=unknown&code=c"
LIST = "/v1/social-accounts?page_size=5"
EXPECTED = {HEALTH: 200, CALLBACK: 404, LIST: 200}
# Between one question and the next.
PAUSE_SECONDS = 0.05

Answers = Counter[tuple[str, int]]


def status(server: Server, path: str, key: str = "") -> int:
    """What is answered on a connection of its own; 0 when there is no answer, twice."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    request = urllib.request.Request(f"{server.web_url}{path}", headers=headers)
    # The server may end a new connection, too, when there are too many.
    for _ in range(2):
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code
        except OSError:
            continue
    return 0


@contextmanager
def others_go_on(server: Server, key: str = "") -> Iterator[Answers]:
    """Inside, and once more at the end, health and a callback are answered, and with a key a list.

    No process ends meanwhile, and the log has no accident and no status that a client is not to blame for.
    """
    paths = [HEALTH, CALLBACK, *([LIST] if key else [])]
    before, begun = server.children(), server.log.stat().st_size
    answers, stop = Answers(), threading.Event()

    def ask() -> None:
        while not stop.wait(PAUSE_SECONDS):
            _ask_all(server, key, paths, answers)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield answers
    finally:
        stop.set()
        thread.join()
    _ask_all(server, key, paths, answers)
    wrong = {what: count for what, count in answers.items() if EXPECTED[what[0]] != what[1]}
    assert not wrong, f"{wrong} of {answers}"
    assert server.children() == before
    accidents = _accidents(server, begun)
    assert not accidents, "\n".join(accidents)


def _ask_all(server: Server, key: str, paths: list[str], answers: Answers) -> None:
    for path in paths:
        answers[path, status(server, path, key if path == LIST else "")] += 1


def _accidents(server: Server, begun: int) -> list[str]:
    """Lines of the log, as far as there are any that say that something broke."""
    time.sleep(0.5)
    with server.log.open(errors="backslashreplace") as log:
        log.seek(begun)
        lines = log.read().splitlines()
    return [line for line in lines if _is_accident(line)][:3]


def _is_accident(line: str) -> bool:
    return (
        '"level": "ERROR"' in line
        or "Traceback" in line
        or ('"status": 5' in line and '"status": 503' not in line)
    )
