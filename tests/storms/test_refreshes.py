"""Refreshes under processes that race and die: the platform is asked once, and no account says that it is
connected when its tokens are dead."""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from threading import Timer

import pytest

from generated.hitchpost.v1 import platform_pb2
from generated.hitchpost.v1 import social_account_service_pb2 as pb
from server.base.vault import Vault
from tests.conftest import ENCRYPTION_KEY
from tests.kit.rotating import Rotating, rotating
from tests.kit.servers import rows
from tests.storms.refresh_clock import CLOCK, Refreshed, simulate
from tests.storms.refresh_worker import FORKS, race, work_once

VAULT = Vault(ENCRYPTION_KEY)
CONNECTED, NEEDS_REAUTH = pb.SOCIAL_ACCOUNT_STATE_CONNECTED, pb.SOCIAL_ACCOUNT_STATE_NEEDS_REAUTH
PROCESSES, RACES = 32, 20
ROUNDS = 200
STEPS = ("before the request", "request sent", "after the answer", "after the write", "some time")
PLANT = f"""
    WITH account AS (
      INSERT INTO social_account (
        project_id, id, platform, platform_user_id, username, display_name, profile_photo_url, state,
        scopes, access_token_expire_time, metadata, version, create_time, update_time, connect_time)
      VALUES ('p', %s, {platform_pb2.PLATFORM_SANDBOX}, %s, '', '', '', {CONNECTED}, '{{}}', %s, '{{}}', 1,
        now(), now(), now())
    )
    INSERT INTO social_account_token (
      project_id, social_account_id, access_token, refresh_token, login_id, due_time, attempt,
      refresh_failures)
    VALUES ('p', %s, %s, %s, %s, now(), 0, 0)"""
HELD = "lease_time IS NOT NULL OR due_time = 'infinity'"
LEFT = f"SELECT count(*) FROM social_account_token WHERE due_time <= now() OR {HELD}"


@pytest.fixture
def url(new_database: Callable[[], str]) -> str:
    """A database with a project, `p`."""
    url = new_database()
    rows(url, "INSERT INTO project VALUES ('p', 'p', '{}', now())")
    return url


@pytest.fixture
def platform() -> Iterator[Rotating]:
    with rotating() as platform:
        yield platform


def plant(url: str, platform: Rotating, number: int, accounts: int = 1) -> list[str]:
    """Accounts with the same tokens, which are due; their ids."""
    access, refresh = platform.connected()
    ids = [f"sa_{number}_{account}" for account in range(accounts)]
    login = f"lg_{number}" if accounts > 1 else None
    for id_ in ids:
        expire_time = datetime.now(UTC) + timedelta(hours=1)
        tokens = (VAULT.encrypt(access), VAULT.encrypt(refresh))
        rows(url, PLANT, id_, id_, expire_time, id_, *tokens, login)
    return ids


def check(url: str, platform: Rotating, ids: list[str]) -> Counter[str]:
    """Each account has a token that works, or says that it needs its person; how many of each."""
    found = rows(
        url,
        "SELECT a.id, a.state, t.access_token FROM social_account a "
        "JOIN social_account_token t ON t.social_account_id = a.id WHERE a.id = ANY(%s)",
        ids,
    )
    assert len(found) == len(ids)
    ended: Counter[str] = Counter()
    for id_, state, access_token in found:
        works = platform.works(VAULT.decrypt(access_token))
        assert works or state == NEEDS_REAUTH, f"{id_} says that it is connected, and its token is dead"
        ended["works" if works and state == CONNECTED else "needs its person"] += 1
    return ended


def test_thirty_two_processes_refresh_one_account_at_once(url: str, platform: Rotating) -> None:
    """In turn one account, and three of one login. The platform is asked once each time."""
    begin, end = FORKS.Barrier(PROCESSES + 1), FORKS.Barrier(PROCESSES + 1)
    arguments = (url, platform.url, ENCRYPTION_KEY, RACES, begin, end)
    processes = [FORKS.Process(target=race, args=arguments, daemon=True) for _ in range(PROCESSES)]
    for process in processes:
        process.start()
    try:
        for number in range(RACES):
            platform.asked = []
            ids = plant(url, platform, number, accounts=1 + 2 * (number % 2))
            begin.wait(60)
            end.wait(60)
            assert len(platform.asked) == 1
            assert check(url, platform, ids) == {"works": len(ids)}
            assert rows(url, LEFT) == [(0,)]
        for process in processes:
            process.join(30)
    finally:
        for process in processes:
            process.kill()
    print(f"{RACES} races of {PROCESSES} processes: the token endpoint saw one request each time")


def test_kill_at_each_step_of_a_refresh(url: str, platform: Rotating) -> None:
    """Whoever comes after the lease has run out asks again, with what is stored."""
    chance, killed = random.Random(7), 0
    accounts: dict[str, list[str]] = {step: [] for step in STEPS}
    for number in range(ROUNDS):
        step = STEPS[number % len(STEPS)]
        accounts[step] += plant(url, platform, number)
        killed += kill_at(url, platform, step, chance.uniform(0.0, 0.15))
        # It is nobody's turn until all rounds are over.
        rows(url, f"UPDATE social_account_token SET due_time = 'infinity' WHERE due_time <= now() OR {HELD}")
    # The leases run out.
    rows(url, f"UPDATE social_account_token SET due_time = now() WHERE {HELD}")
    after = FORKS.Process(target=work_once, args=(url, platform.url, ENCRYPTION_KEY, "never"))
    after.start()
    after.join(120)
    assert after.exitcode == 0
    assert rows(url, LEFT) == [(0,)]
    ended = {step: dict(check(url, platform, ids)) for step, ids in accounts.items()}
    print(f"{ROUNDS} refreshes, {killed} killed: {ended}")
    each = ROUNDS // len(STEPS)
    assert killed >= each * 4
    assert ended["before the request"] == ended["after the write"] == {"works": each}
    # This platform ends the tokens of whoever shows a refresh token again.
    assert ended["request sent"] == ended["after the answer"] == {"needs its person": each}


def kill_at(url: str, platform: Rotating, step: str, seconds: float) -> bool:
    """Has a worker refresh what is due and die; returns whether it did."""
    worker = FORKS.Process(target=work_once, args=(url, platform.url, ENCRYPTION_KEY, step))

    def kill(_token: str) -> None:
        """The platform has spent the token, and its answer goes to nobody."""
        worker.kill()
        worker.join(20)

    platform.answers = kill if step == "request sent" else lambda _token: None
    worker.start()
    timer = Timer(0.02 + seconds, worker.kill)
    if step == "some time":
        timer.start()
    worker.join(60)
    timer.cancel()
    platform.answers = lambda _token: None
    return worker.exitcode == -9


def test_a_thousand_accounts_that_always_fail_hold_up_nobody(new_database: Callable[[], str]) -> None:
    """Of 5,000 in 40 projects, 700 of one project's 2,000; all are due at once, and an eighth of them keeps a
    thread for ten seconds at every try. An hour and three quarters, by a clock that is set."""
    url = new_database()
    rows(url, CLOCK)
    projects = {
        f"p{number}": names(number, *((2000, 700) if number == 0 else (77, 8))) for number in range(40)
    }
    good = {id_ for ids in projects.values() for id_ in ids if id_.startswith("good")}
    bad = sum(map(len, projects.values())) - len(good)
    refreshed, failures = simulated(url, projects)
    times = Counter(one.account_id for one in refreshed)
    print(f"{len(good):,} accounts refreshed {len(refreshed):,} times, {bad:,} failed {failures:,} times;")
    left = min(one.left for one in refreshed)
    late = {
        project: max(one.late for one in refreshed if one.account_id.split("-")[1] == project[1:])
        for project in projects
    }
    most = late.pop("p0")
    print(f"latest: {most:.0f} s in the project that fails most, {max(late.values()):.0f} s in others;")
    print(f"least left to live: {left / 60:.0f} min")
    assert min(times[id_] for id_ in good) >= 1
    assert left > 300
    assert rows(url, "SELECT DISTINCT state FROM social_account") == [(CONNECTED,)]
    failed = "SELECT count(*) FROM social_account_token WHERE refresh_failures > 0"
    assert rows(url, failed) == [(bad,)]


def simulated(url: str, projects: dict[str, list[str]]) -> tuple[list[Refreshed], int]:
    """In a process of its own, whose clock is set."""
    result = FORKS.Queue()
    process = FORKS.Process(target=simulate, args=(url, ENCRYPTION_KEY, projects, 1.75, result))
    process.start()
    try:
        refreshed, failures = result.get(timeout=400)
        process.join(20)
        return refreshed, failures
    finally:
        process.kill()


def names(project: int, accounts: int, bad: int) -> list[str]:
    """Ids of a project's accounts."""
    kinds = ["hang"] * (bad // 8) + ["bad"] * (bad - bad // 8) + ["good"] * (accounts - bad)
    return [f"{kind}-{project}-{number}" for number, kind in enumerate(kinds)]
