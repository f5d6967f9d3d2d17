"""Calls that wait for a platform that does not answer leave the others alone, and end in time."""

import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import grpc
import pytest

from tests.kit.servers import Server, eventually, serving
from tests.kit.support import Client, code_of, free_port, unique
from tests.storms import memory
from tests.storms.calls import Calls, begin, clients_of_each_worker, codes, gets
from tests.storms.slow_platform import DrippingServer, callbacks, connections, stopped, wait_for_calls
from tools.person import Person

ROUNDS = 4
SAMPLES = 1500
EACH = 32
RATIO = 1.5
# What one call may ask of platforms in all, and how much later its end may be seen on a busy machine.
PLATFORM_SECONDS = 10
MARGIN = 5


COMPLETE = "SocialAccountService/CompleteAuth"
DISCONNECT = "SocialAccountService/DisconnectSocialAccount"


def completing(client: Client, urls: Sequence[str], timeout: float = 30) -> list[grpc.Future]:
    """Starts these calls, which wait for a platform that does not answer."""
    return [begin(client, COMPLETE, timeout=timeout, callback_url=url) for url in urls]


def disconnecting(client: Client, account_ids: Sequence[str]) -> list[grpc.Future]:
    """Starts these calls, which leave the platform to the worker."""
    return [begin(client, DISCONNECT, social_account_id=account_id) for account_id in account_ids]


def codes_of_nobody(client: Client, number: int) -> list[str]:
    """Callbacks of so many attempts, as they would come from a platform that has no pages: with any code."""
    states = [
        client("SocialAccountService/CreateAuthUrl", platform="PLATFORM_SANDBOX").state for _ in range(number)
    ]
    return [f"http://localhost/callback/sandbox?state={state}&code=any" for state in states]


def test_gets_do_not_wait_for_calls_that_wait_for_a_platform(
    run_dir: Path, new_database: Callable[[], str]
) -> None:
    """The calls wait in one of two workers, and both are asked in turn; in the next round in the other."""
    without, beside, ended, disconnected = [], [], Counter[str](), Counter[str]()
    with (
        serving(run_dir, new_database(), workers="2", pin_workers="false") as server,
        clients_of_each_worker(server, 2, each=2) as [one, one_waits, other, other_waits],
        Person(unique("person")) as person,
    ):
        account_id, port = one.connect().id, int(server.settings["web_address"].split(":")[1])
        gets([one, other], account_id, calls=SAMPLES, seconds=10)
        for number in range(ROUNDS):
            busy, idle, waiting = ((one, other, one_waits), (other, one, other_waits))[number % 2]
            urls = [
                idle("SocialAccountService/CreateAuthUrl", platform="PLATFORM_SANDBOX").url
                for _ in range(EACH)
            ]
            to_complete = callbacks(person, urls)
            to_disconnect = [idle.connect().id for _ in range(EACH)]
            with stopped(server):
                begun = completing(waiting, to_complete)
                begun_too = disconnecting(waiting, to_disconnect)
                wait_for_calls(memory.workers(server), port)
                for made, where in zip(
                    gets([busy, idle], account_id, calls=SAMPLES, seconds=6), (beside, without), strict=True
                ):
                    where.append(made)
                # While the platform is still stopped.
                disconnected += codes(begun_too)
            ended += codes(begun)
    assert disconnected == {"OK": ROUNDS * EACH}
    _report_and_assert(without, beside, ended)


def _report_and_assert(without: list[Calls], beside: list[Calls], ended: Counter[str]) -> None:
    medians = [
        [statistics.median(calls.percentile(percent) for calls in made) for percent in (50, 99)]
        for made in (without, beside)
    ]
    ratio = medians[1][1] / medians[0][1]
    failed = Counter[str]()
    for calls in [*without, *beside]:
        failed += calls.codes
    figures = (
        f"GetSocialAccount with {EACH} CompleteAuth calls waiting for a stopped platform and after {EACH} "
        f"DisconnectSocialAccount calls: "
        f"p50 {medians[1][0]:.1f} ms, p99 {medians[1][1]:.1f} ms; in a worker without "
        f"them p50 {medians[0][0]:.1f} ms, p99 {medians[0][1]:.1f} ms; ratio of p99 {ratio:.2f}; "
        f"gets {dict(failed)}; the waiting calls ended {dict(ended)}"
    )
    print(f"\n{figures}")
    assert set(failed) == {"OK"}, figures
    assert ratio <= RATIO, figures
    assert set(ended) <= {"OK", "UNAVAILABLE", "RESOURCE_EXHAUSTED"}, figures


@pytest.fixture(scope="module")
def dripping(run_dir: Path, new_database: Callable[[], str]) -> Iterator[tuple[Server, list[Client], int]]:
    """A server with one worker whose platform drips, clients, and the platform's port."""
    with DrippingServer() as platform:
        web_address = f"127.0.0.1:{free_port()}"
        settings = {"web_address": web_address, "public_url": f"http://127.0.0.1:{platform.port}"}
        with (
            serving(run_dir, new_database(), **settings) as server,
            clients_of_each_worker(server, 1, each=3) as clients,
        ):
            yield server, clients, platform.port


def test_a_platform_that_drips_is_waited_for_10_seconds_in_all(
    dripping: tuple[Server, list[Client], int],
) -> None:
    _, [client, *_], _ = dripping
    [url], began = codes_of_nobody(client, 1), time.monotonic()
    code = code_of(lambda: client(COMPLETE, callback_url=url, timeout=40))
    seconds = time.monotonic() - began
    figures = f"CompleteAuth with a platform that drips: {code} after {seconds:.1f} s"
    print(f"\n{figures}")
    assert code == "UNAVAILABLE", figures
    assert seconds <= PLATFORM_SECONDS + MARGIN, figures


def test_a_platform_is_not_waited_for_past_the_callers_deadline(
    dripping: tuple[Server, list[Client], int],
) -> None:
    server, [client, *_], port = dripping
    workers = memory.workers(server)
    begun = completing(client, codes_of_nobody(client, 8), timeout=3)
    wait_for_calls(workers, port)
    most = connections(workers, port)
    ended, began = codes(begun), time.monotonic()
    while (left := connections(workers, port)) and time.monotonic() - began < MARGIN:
        time.sleep(0.1)
    seconds = time.monotonic() - began
    figures = (
        f"8 calls with a deadline of 3 s and a platform that drips: {dict(ended)}; {most} connections to the "
        f"platform, {left} of them open {seconds:.1f} s after the last call's end"
    )
    print(f"\n{figures}")
    assert left == 0, figures


def test_calls_beyond_what_may_wait_for_a_platform_are_refused_at_once(
    dripping: tuple[Server, list[Client], int],
) -> None:
    server, [client, other, maker], port = dripping
    account_id, urls = maker.connect().id, codes_of_nobody(maker, 256)
    begun, began = completing(client, urls), time.monotonic()
    wait_for_calls(memory.workers(server), port)

    def ended_early() -> list[grpc.Future]:
        return [call for call in begun if call.done()]

    [made] = gets([other], account_id, calls=200, seconds=5)
    early = eventually("some are refused", ended_early, seconds=5)
    refused = codes(early)
    codes(begun)
    seconds = time.monotonic() - began
    figures = (
        f"256 calls that wait for a platform: {dict(refused)} at once, the last ended after {seconds:.1f} s; "
        f"gets meanwhile {made}"
    )
    print(f"\n{figures}")
    assert set(refused) == {"RESOURCE_EXHAUSTED"}, figures
    assert set(made.codes) == {"OK"}, figures
