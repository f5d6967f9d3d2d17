"""Race: 64 clients connect the same new profile at once, against two worker processes, again and again."""

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import grpc
import pytest

from generated.hitchpost.v1.social_account_service_pb2_grpc import SocialAccountServiceStub
from tests.servers import Server, rows, serving
from tests.support import Client, import_request

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


def _outcome(call: grpc.Future) -> tuple[str, str | None]:
    """The call's code, and the owner in its answer."""
    error = call.exception(timeout=60)
    if error is None:
        return "OK", call.result().social_account.external_id
    assert isinstance(error, grpc.RpcError)
    return error.code().name, None  # type: ignore[attr-defined]


class Racers:
    """The clients: those of one channel start their calls in a thread of their own."""

    def __init__(self, channels: list[grpc.Channel], client: Client) -> None:
        self._stubs = [SocialAccountServiceStub(channel) for channel in channels]
        self._metadata = client.metadata
        self._pool = ThreadPoolExecutor(len(channels))
        self._start = Barrier(len(channels))

    def race(self, profile: str) -> list[tuple[str, str | None]]:
        """What each of the clients got; no two have the same external_id."""
        owners = [f"{profile}-owner-{number}" for number in range(CLIENTS)]
        lanes = len(self._stubs)
        running = [self._pool.submit(self._lane, n, profile, owners[n::lanes]) for n in range(lanes)]
        return [outcome for lane in running for outcome in lane.result(timeout=120)]

    def _lane(self, number: int, profile: str, owners: list[str]) -> list[tuple[str, str | None]]:
        requests = [import_request(profile, owner) for owner in owners]
        self._start.wait(60)
        imports = self._stubs[number].ImportSocialAccount
        calls = [imports.future(request, metadata=self._metadata, timeout=60) for request in requests]
        return [_outcome(call) for call in calls]

    def close(self) -> None:
        self._pool.shutdown()


def test_exactly_one_of_64_clients_gets_a_new_profile_in_each_of_200_rounds(server: Server) -> None:
    winners: dict[str, str | None] = {}
    with server.channels_by_worker(WORKERS, CHANNELS_PER_WORKER) as by_worker:
        channels = [channel for channels in by_worker.values() for channel in channels]
        client = server.new_client(channels[0])
        racers = Racers(channels, client)
        for number in range(ROUNDS):
            outcomes = racers.race(f"profile-{number}")
            codes = Counter(code for code, _ in outcomes)
            assert codes == {"OK": 1, "ALREADY_EXISTS": CLIENTS - 1}, f"round {number}: {codes}"
            winners[f"profile-{number}"] = next(owner for code, owner in outcomes if code == "OK")
        racers.close()
        workers = set(by_worker)
    assert _stored(server, client) == winners
    _both_took_part(server, workers)


def _stored(server: Server, client: Client) -> dict[str, str | None]:
    select = "SELECT platform_user_id, external_id FROM social_account WHERE project_id = %s"
    return dict(rows(server.settings["database_url"], select, client.project_id))


def _both_took_part(server: Server, workers: set[int]) -> None:
    calls = server.logged(message="call", method="SocialAccountService/ImportSocialAccount")
    assert len(calls) == ROUNDS * CLIENTS
    answered = Counter(line["process"] for line in calls)
    won = Counter(line["process"] for line in calls if line["code"] == "OK")
    assert set(answered) == set(won) == workers, (answered, won)
