"""Race: 64 clients connect the same new profile at once, against two worker processes, again and again."""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kit.racers import Racers
from tests.kit.servers import Server, eventually, rows, serving
from tests.kit.support import Client, import_request

WORKERS = 2
ROUNDS = 200
CLIENTS = 64
CHANNELS_PER_WORKER = 4


@pytest.fixture(scope="module")
def server(run_dir: Path, new_database: Callable[[], str]) -> Iterator[Server]:
    """Two workers, with room for a whole round to wait."""
    with serving(
        run_dir, new_database(), workers=str(WORKERS), max_waiting_calls="1000", statement_timeout="30"
    ) as running:
        yield running


def test_exactly_one_of_64_clients_gets_a_new_profile_in_each_of_200_rounds(server: Server) -> None:
    winners: dict[str, str | None] = {}
    with server.channels_by_worker(WORKERS, CHANNELS_PER_WORKER) as by_worker:
        channels = [channel for channels in by_worker.values() for channel in channels]
        client = server.new_client(channels[0])
        racers = Racers(channels, client)
        for number in range(ROUNDS):
            profile = f"profile-{number}"
            requests = [import_request(profile, f"{profile}-owner-{racer}") for racer in range(CLIENTS)]
            outcomes = racers.race("SocialAccountService/ImportSocialAccount", requests)
            codes = Counter(code for code, _ in outcomes)
            assert codes == {"OK": 1, "ALREADY_EXISTS": CLIENTS - 1}, f"round {number}: {codes}"
            [won] = [answer.social_account.external_id for code, answer in outcomes if code == "OK"]
            winners[profile] = won
        racers.close()
        workers = set(by_worker)
    assert _stored(server, client) == winners
    _both_took_part(server, workers)


def _stored(server: Server, client: Client) -> dict[str, str | None]:
    select = "SELECT platform_user_id, external_id FROM social_account WHERE project_id = %s"
    return dict(rows(server.settings["database_url"], select, client.project_id))


def _both_took_part(server: Server, workers: set[int]) -> None:
    def logged() -> list[dict[str, Any]]:
        calls = server.logged(message="call", method="SocialAccountService/ImportSocialAccount")
        assert len(calls) <= ROUNDS * CLIENTS
        return calls if len(calls) == ROUNDS * CLIENTS else []

    calls = eventually("all calls are in the log", logged)
    answered = Counter(line["process"] for line in calls)
    won = Counter(line["process"] for line in calls if line["code"] == "OK")
    assert set(answered) == set(won) == workers, (answered, won)
