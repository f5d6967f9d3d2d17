"""How API keys are recognised: without a query where none is needed, and by one thread where one is."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from time import monotonic

import pytest

from server.base import errors
from server.base.identity import Caller, utc_now
from server.projects import api_keys, projects
from server.rpc import key_ring
from server.rpc.key_ring import MAX_QUESTIONS, MAX_QUESTIONS_OF_A_CONNECTION, REMEMBER_SECONDS, KeyRing
from server.storage.database import database
from tests.kit.servers import eventually
from tests.kit.support import Client

# As keys were made before they had a checksum.
OLD = "hp_" + "A" * 43


class Time:
    """A clock that tests set."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@contextmanager
def started(time: Callable[[], float] = monotonic) -> Iterator[KeyRing]:
    """A key ring that answers, until the end."""
    ring = KeyRing(time)
    ring.start()
    yield ring
    ring.stop()
    ring._thread.join(20)
    assert not ring._thread.is_alive()


def answer(ring: KeyRing, key: str) -> Caller | errors.HitchpostError:
    """What the ring says after it has asked the database."""
    answers: SimpleQueue[Caller | errors.HitchpostError] = SimpleQueue()
    ring.ask(key, b"peer", answers.put)
    return answers.get(timeout=20)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many keys each question to the database was about."""
    seen: list[int] = []
    look_up = projects.callers

    def counted(hashes: object) -> dict[bytes, Caller]:
        listed = list(hashes)  # type: ignore[call-overload]
        seen.append(len(listed))
        return look_up(listed)

    monkeypatch.setattr(projects, "callers", counted)
    return seen


def test_a_new_key_has_a_checksum_and_keys_of_before_are_still_well_formed() -> None:
    key = api_keys.generate()
    assert len(key) == len(OLD) + 8
    assert api_keys.is_well_formed(key)
    assert api_keys.is_well_formed(OLD)
    assert len({api_keys.generate() for _ in range(100)}) == 100


@pytest.mark.parametrize("place", [3, 20, 45, 46, 50, 53])
def test_a_key_with_one_wrong_character_is_malformed(place: int) -> None:
    key = api_keys.generate()
    other = "0" if key[place] != "0" else "1"
    assert not api_keys.is_well_formed(key[:place] + other + key[place + 1 :])


@pytest.mark.parametrize(
    "text", ["", "hp_", "hp_wrong", OLD[:-1], OLD + "A", OLD.upper(), OLD + "\n", "sk" + OLD, "ü" * 46]
)
def test_malformed_keys_are_refused_without_a_question(text: str, asked: list[int]) -> None:
    with started() as ring, pytest.raises(errors.ApiKeyInvalid):
        ring.find(text)
    assert not asked


def test_a_key_is_asked_about_once_and_remembered(client: Client, asked: list[int]) -> None:
    key = client.key or ""
    with started() as ring:
        assert ring.find(key) is None
        assert [answer(ring, key) for _ in range(3)] == [ring.find(key)] * 3
        assert isinstance(ring.find(key), Caller)
    assert asked == [1]


def test_an_unknown_key_is_asked_about_once_in_a_period(running: object, asked: list[int]) -> None:
    time, key = Time(), api_keys.generate()
    with started(time) as ring:
        for _ in range(3):
            assert isinstance(answer(ring, key), errors.ApiKeyInvalid)
            with pytest.raises(errors.ApiKeyInvalid):
                ring.find(key)
        assert asked == [1]
        time.now += REMEMBER_SECONDS + 1
        assert ring.find(key) is None


def test_unknown_keys_take_bounded_memory_and_no_place_of_those_that_work(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_ring, "MAX_REMEMBERED", 10)
    with started() as ring:
        answer(ring, client.key or "")
        for _ in range(30):
            answer(ring, api_keys.generate())
        assert len(ring._unknown) == 10
        assert isinstance(ring.find(client.key or ""), Caller)


def test_keys_in_use_are_looked_at_anew_all_at_once_and_others_forgotten(
    new_client: Callable[[], Client], asked: list[int]
) -> None:
    time = Time()
    used, revoked, idle = (client.key or "" for client in (new_client(), new_client(), new_client()))
    ring = KeyRing(time)
    for key in (used, revoked, idle):
        ring._look_up(key_ring.fingerprint(key))
    assert ring.find(used)
    assert ring.find(revoked)
    [(key_id,)] = database.fetch(
        "UPDATE api_key SET revoke_time = now() WHERE hash = %s RETURNING id", [key_ring.fingerprint(revoked)]
    )
    assert key_id
    asked.clear()
    time.now += REMEMBER_SECONDS / 2
    ring._verify()
    assert asked == [2]
    with pytest.raises(errors.ApiKeyInvalid):
        ring.find(revoked)
    time.now += REMEMBER_SECONDS / 2 + 1
    assert ring.find(used), "verified in between, so that it goes on without a pause"
    assert ring.find(idle) is None


def test_the_thread_looks_at_keys_anew_by_itself(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_ring, "REMEMBER_SECONDS", 0.4)
    ring = KeyRing()
    ring.start()
    key = client.key or ""
    assert isinstance(answer(ring, key), Caller)
    revoked = projects.keys(projects.find(client.project_id))[0].id
    projects.revoke_key(revoked, utc_now())

    def refused() -> bool:
        try:
            return ring.find(key) is None
        except errors.ApiKeyInvalid:
            return True

    eventually("the revoked key is refused", refused, every=0.01)
    ring.stop()


def test_only_so_many_keys_may_be_asked_about(running: object) -> None:
    ring = KeyRing()
    for number in range(MAX_QUESTIONS):
        ring.ask(api_keys.generate(), b"%d" % number, lambda _: None)
    with pytest.raises(errors.Overloaded):
        ring.ask(api_keys.generate(), b"another", lambda _: None)


def test_a_connection_asks_about_a_few_keys_and_leaves_room_for_others(client: Client) -> None:
    with started() as ring:
        ring._look_up = lambda hashed, look_up=ring._look_up: (may_go_on.wait(20), look_up(hashed))[1]  # type: ignore[method-assign, misc]
        may_go_on = threading.Event()
        for _ in range(MAX_QUESTIONS_OF_A_CONNECTION):
            ring.ask(api_keys.generate(), b"flood", lambda _: None)
        with pytest.raises(errors.Overloaded):
            ring.ask(api_keys.generate(), b"flood", lambda _: None)
        threading.Timer(0.1, may_go_on.set).start()
        assert isinstance(answer(ring, client.key or ""), Caller)
        assert not ring._asked
        assert not ring._asked_by


def test_calls_that_come_with_one_new_key_at_once_are_one_question(client: Client, asked: list[int]) -> None:
    answers: SimpleQueue[Caller | errors.HitchpostError] = SimpleQueue()
    ring = KeyRing()
    for _ in range(500):
        ring.ask(client.key or "", b"peer", answers.put)
    ring.start()
    assert len({answers.get(timeout=20) for _ in range(500)}) == 1
    assert asked == [1]
    ring.stop()


def test_a_database_that_is_away_is_no_answer_and_is_not_remembered(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = client.key or ""

    def away(hashes: object) -> dict[bytes, Caller]:
        raise errors.DatabaseUnavailable

    with started() as ring:
        with monkeypatch.context() as patched:
            patched.setattr(projects, "callers", away)
            assert isinstance(answer(ring, key), errors.DatabaseUnavailable)
            ring._used.add(b"seen")
            ring._verify()
        assert isinstance(answer(ring, key), Caller)
