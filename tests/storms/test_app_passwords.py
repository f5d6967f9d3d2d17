"""Race: 64 clients connect one Bluesky account at once by its app password, against two workers, again and
again: one gets it, and no session is left that nobody knows of.

Bluesky's own server takes a second for a few passwords, so that the claims would hardly meet: here a stand-in
lets everybody in. Against the real one eight race in tests/accounts/test_app_passwords.py.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from threading import Barrier
from time import monotonic

import grpc
import pytest

from tests.kit.atproto import DID, HANDLE, Sessions, routes
from tests.kit.names import NameServer
from tests.kit.servers import Server, eventually, rows, serving
from tests.kit.support import Client, code_of
from tests.kit.web import serving as serving_app

WORKERS = 2
ROUNDS = 100
CLIENTS = 64
CONNECT = "SocialAccountService/ConnectWithAppPassword"
ACCOUNTS = "SELECT id, external_id FROM social_account WHERE project_id = %s"


@pytest.fixture(scope="module")
def sessions(names: NameServer) -> Iterator[Sessions]:
    """The account's server, and all others that are asked for it."""
    servers = Sessions()
    names.texts[f"_atproto.{HANDLE}"] = [f"did={DID}"]
    with serving_app(routes(servers)) as url:
        servers.port = int(url.rpartition(":")[2])
        yield servers


@pytest.fixture(scope="module")
def server(
    run_dir: Path, new_database: Callable[[], str], names: NameServer, sessions: Sessions
) -> Iterator[Server]:
    """Two workers, with room for a whole round to wait."""
    with serving(
        run_dir,
        new_database(),
        workers=str(WORKERS),
        max_waiting_calls="1000",
        # A platform's calls may take half of the threads, and half of the room to wait.
        platform_threads="16",
        plc_url=sessions.at(""),
        name_server=names.address,
        allow_private_addresses="true",
    ) as server:
        yield server


def race(clients: list[Client], number: int) -> Counter[str]:
    """The codes; each client connects for an owner of its own."""
    start = Barrier(len(clients))

    def call(client: Client, owner: str) -> str:
        start.wait(60)
        request = {"handle": DID, "app_password": "abcd-efgh-ijkl-mnop", "external_id": owner}
        return code_of(lambda: client(CONNECT, **request, timeout=120))

    with ThreadPoolExecutor(len(clients)) as pool:
        owners = [f"owner-{number}-{place}" for place in range(len(clients))]
        return Counter(pool.map(call, clients, owners))


def test_exactly_one_of_64_clients_gets_an_account_in_each_of_100_rounds(
    server: Server, sessions: Sessions
) -> None:
    began, url = monotonic(), server.settings["database_url"]
    with server.channels_by_worker(WORKERS, each=4) as by_worker:
        channels: list[grpc.Channel] = list(chain.from_iterable(zip(*by_worker.values(), strict=True)))
        client = server.new_client(channels[0])
        clients = [
            Client(channels[place % len(channels)], client.key, project_id=client.project_id)
            for place in range(CLIENTS)
        ]
        for number in range(ROUNDS):
            codes = race(clients, number)
            assert codes == {"OK": 1, "ALREADY_EXISTS": CLIENTS - 1}, f"round {number}: {codes}"
            assert len(sessions.open) == 1, f"round {number}"
            [(account_id, owner)] = rows(url, ACCOUNTS, client.project_id)
            assert owner.startswith(f"owner-{number}-")
            client("SocialAccountService/DeleteSocialAccount", social_account_id=account_id)
            eventually("the session of the account that is gone is ended", lambda: not sessions.open)
    print(f"\n{ROUNDS} rounds of {CLIENTS} app passwords: one winner each, {monotonic() - began:.0f} s")
