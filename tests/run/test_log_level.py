"""The log of a whole server: its lines have one order, and signals change its level everywhere at once."""

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from server.base.logs import FIRST
from tests.kit.servers import Server, ended, eventually, local_channel, serving

CHANGED = "the level of the log changes"


def processes(server: Server) -> set[int]:
    return {server.process.pid, *(child.pid for child in server.children())}


def told(server: Server, to: str) -> set[int]:
    """The processes that have changed to this level."""
    return {line["process"] for line in server.logged(message=CHANGED, to=to)}


def test_signals_make_every_process_log_more_and_again_what_the_settings_say(
    run_dir: Path, new_database: Callable[[], str]
) -> None:
    with (
        serving(run_dir, new_database(), log_level="warning", workers="2") as server,
        local_channel(server.address) as channel,
    ):
        client = server.new_client(channel)

        def call() -> list[dict[str, Any]]:
            client("SocialPostService/ListSocialPosts")
            return server.logged(message="call")

        assert call() == []
        server.process.send_signal(signal.SIGUSR1)
        # Twice is as good as once.
        server.process.send_signal(signal.SIGUSR1)
        eventually("all log more", lambda: told(server, "DEBUG") == processes(server))
        assert len(call()) == 1

        killed = server.children()[-1]
        killed.kill()
        eventually("it is gone", lambda: ended(killed))
        eventually("another has started, which knows it", lambda: _another(server, killed))

        server.process.send_signal(signal.SIGUSR2)
        eventually("all log less again", lambda: told(server, "WARNING") == processes(server))
        assert len(call()) == 1
        lines = server.log.read_text().split("\n")[:-1]
    levels = {json.loads(line)["level"] for line in lines}
    assert {"INFO", "ERROR"} <= levels
    # Whoever has written them.
    assert {tuple(json.loads(line))[: len(FIRST)] for line in lines} == {FIRST}


def _another(server: Server, killed: psutil.Process) -> bool:
    alive = processes(server)
    return len(alive) == 5 and killed.pid not in alive and told(server, "DEBUG") >= alive
