"""The methods over HTTP under attack: hidden requests, wrong ones, slow ones and too many of them.

Meanwhile and afterwards others get what they ask for, and no process ends.
"""

import random
import resource
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from tests.kit.servers import Server, local_channel, serving
from tests.kit.support import Client, secret
from tests.storms import http1, rest_fuzz, smuggling
from tests.storms.bystanders import others_go_on
from tests.storms.calls import elsewhere
from tests.storms.dripping import Dripping

FUZZED = 100_000
PROCESSES = 4
SLOW = 2_000
SLOW_SECONDS = 25.0
# The web process keeps at most 500 connections open at once, and has a few that it has just been handed.
MOST_OPEN = 500 + 20
READERS = 64
READ_SECONDS = 8.0


@pytest.fixture
def server(run_dir: Path, new_database: Callable[[], str]) -> Iterator[Server]:
    with serving(run_dir, new_database()) as server:
        yield server


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    with local_channel(server.address) as channel:
        yield server.new_client(channel)


def profiles(client: Client) -> set[str]:
    listed = client("SocialAccountService/ListSocialAccounts").social_accounts
    return {account.platform_user_id for account in listed}


def test_no_hidden_request_is_answered(server: Server, client: Client) -> None:
    address = server.settings["web_address"]
    victim = server.new_client(client.channel)
    hidden = smuggling.import_request(victim.key, "hidden", secret())
    cases = smuggling.Outer(client.key).hiding(hidden)
    with others_go_on(server), ThreadPoolExecutor(len(cases)) as pool:
        sent = {name: pool.submit(smuggling.answers, address, case) for name, (case, _) in cases.items()}
        seen = {name: answered.result() for name, answered in sent.items()}
    wrong = {name: seen[name] for name, (_, wanted) in cases.items() if seen[name] != wanted}
    assert (wrong, profiles(victim)) == ({}, set())
    print(f"\n{len(cases)} ways to hide a request: each answered once, no hidden one")
    # And where it is not hidden, it shows.
    openly = smuggling.Outer(client.key).request(b"Content-Length: 2", body=b"{}") + hidden
    assert smuggling.answers(address, openly) == [400, 200]
    assert profiles(victim) == {"hidden"}


def test_no_fuzzed_request_is_an_accident(server: Server, client: Client) -> None:
    seed = random.randrange(1_000_000)
    valid = [one for _ in range(5) for one in rest_fuzz.valid_requests(client, server.write)]
    each, began = FUZZED // PROCESSES, time.monotonic()

    def flood(number: int) -> Counter[str]:
        address = server.settings["web_address"]
        return elsewhere(rest_fuzz.flood, address, client.key, valid, seed + number, each)

    with others_go_on(server), ThreadPoolExecutor(PROCESSES) as pool:
        counted = sum(pool.map(flood, range(PROCESSES)), Counter[str]())
    wrong = [what for what in counted if what.startswith("WRONG")]
    seconds, answers = time.monotonic() - began, {what: counted[what] for what in counted.keys() - set(wrong)}
    print(f"\n{counted.total():,} fuzzed requests in {seconds:.0f} s (seed {seed}): {answers}")
    assert not wrong, f"seed {seed}: {len(wrong)}, such as {wrong[:3]}"
    assert counted.total() == FUZZED
    # Else nothing would have got past the first check.
    assert {"200", "400", "401", "404", "405", "406", "409", "415"} <= counted.keys(), answers


@pytest.fixture
def many_files() -> Iterator[None]:
    """For connections of our own."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = hard if hard != resource.RLIM_INFINITY else max(soft, 2 * SLOW)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, 2 * SLOW), most), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def open_connections(web: psutil.Process, address: str) -> int:
    """Those of clients, whatever else the process has open."""
    port = int(address.rpartition(":")[2])
    taken = [one for one in web.net_connections("tcp") if one.laddr.port == port]
    return sum(one.status != psutil.CONN_LISTEN for one in taken)


@pytest.mark.usefixtures("many_files")
def test_thousands_of_slow_clients_keep_nobody_out(server: Server, client: Client) -> None:
    for _ in range(30):
        client.connect()
    [web] = [child for child in server.children() if child.cmdline()[-1] == "web"]
    slow = Dripping(server.settings["web_address"], client.key, SLOW)
    try:
        with others_go_on(server, client.key) as answers:
            slow.drip(SLOW_SECONDS)
            held = open_connections(web, server.settings["web_address"])
    finally:
        slow.close()
    print(
        f"\n{SLOW:,} slow connections for {SLOW_SECONDS:.0f} s, {dict(slow.counted)}; others: {dict(answers)}"
    )
    assert slow.counted["opened"] >= SLOW
    assert 0 < held <= MOST_OPEN


def test_a_flood_of_reads_leaves_health_and_callbacks_alone(
    run_dir: Path, new_database: Callable[[], str]
) -> None:
    settings = {"threads": "2", "max_waiting_calls": "16"}
    with (
        serving(run_dir, new_database(), **settings) as server,
        local_channel(server.address) as channel,
    ):
        client, address = server.new_client(channel), server.settings["web_address"]
        client.connect()
        with others_go_on(server) as answers:
            readers = READERS // PROCESSES
            counted = elsewhere(http1.reads, address, client.key, readers, READ_SECONDS, processes=PROCESSES)
    print(f"\n{READERS} readers for {READ_SECONDS:.0f} s: {dict(counted)}; others: {dict(answers)}")
    assert counted.keys() == {"HTTP/1.1 200", "refused"}, counted
