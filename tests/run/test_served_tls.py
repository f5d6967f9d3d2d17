"""When the TLS files of a worker are taken, and what is said about them: one look after the other."""

import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from server.base.identity import utc_now
from server.config import Settings
from server.run import served_tls
from server.run.served_tls import ServedTls
from tests.kit.certificates import Authority, Identity

DAY = timedelta(days=1)
AUTHORITY = Authority("authority", valid=300 * DAY)
OLD, NEW = AUTHORITY.identity("old", valid=20 * DAY), AUTHORITY.identity("new", valid=100 * DAY)
EARLY = AUTHORITY.identity("early", begin=2 * DAY, valid=90 * DAY)


class Watched:
    """The files, what is made of them, and a clock."""

    def __init__(self, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
        self.cert, self.key, self.client_ca = (folder / name for name in ("cert", "key", "ca"))
        self.client_ca.write_bytes(AUTHORITY.certificate)
        self.write(OLD)
        settings = Settings(tls_cert=self.cert, tls_key=self.key, tls_client_ca=self.client_ca)
        self.ahead = timedelta()
        served = served_tls.of(settings, lambda: utc_now() + self.ahead)
        assert served is not None
        self.served: ServedTls = served
        self._log = caplog
        caplog.set_level(logging.INFO, "server.run.served_tls")

    def write(self, identity: Identity) -> None:
        self.cert.write_bytes(identity.certificate)
        self.key.write_bytes(identity.key)

    def look(self, times: int = 1) -> list[tuple[str, str]]:
        """What these looks log: level and cause."""
        self._log.clear()
        for _ in range(times):
            self.served.look()
        return [(record.levelname, record.__dict__["cause"]) for record in self._log.records]

    def serves(self) -> str:
        """Which certificate, by its end."""
        end = self.served.expiry()["certificate"]
        for name, days in (("old", 20), ("new", 100), ("early", 90)):
            if abs(end - datetime.now(UTC) - days * DAY) < DAY:
                return name
        raise AssertionError(end)


@pytest.fixture
def watched(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Watched:
    return Watched(tmp_path, caplog)


def test_files_that_stay_are_not_spoken_of(watched: Watched) -> None:
    assert watched.look(3) == []
    assert set(watched.served.expiry()) == {"certificate", "client_ca"}


def test_new_files_are_taken_when_two_looks_have_found_them_the_same(watched: Watched) -> None:
    watched.write(NEW)
    assert (watched.look(), watched.serves()) == ([], "old")
    [(level, cause)] = watched.look()
    assert (level, watched.serves()) == ("INFO", "new")
    assert cause.startswith("the certificate is valid until ")
    assert watched.look(3) == []


def test_what_is_half_written_is_not_taken_and_not_spoken_of(watched: Watched) -> None:
    watched.write(NEW)
    whole = NEW.certificate + AUTHORITY.certificate
    for size in (0, 10, len(NEW.certificate), len(whole) - 30, len(whole)):
        watched.cert.write_bytes(whole[:size])
        assert (watched.look(), watched.serves()) == ([], "old")
    watched.look()
    assert watched.serves() == "new"


@pytest.mark.parametrize("first", ["cert", "key"])
def test_of_a_pair_in_which_one_is_replaced_the_old_one_is_served(watched: Watched, first: str) -> None:
    files = [(watched.cert, NEW.certificate), (watched.key, NEW.key)]
    one, other = files if first == "cert" else reversed(files)
    one[0].write_bytes(one[1])
    [(level, cause)] = watched.look(4)
    assert (level, watched.serves()) == ("ERROR", "old")
    assert cause.startswith("HITCHPOST_TLS_KEY: ")
    assert "does not belong to the certificate" in cause
    other[0].write_bytes(other[1])
    assert [level for level, _ in watched.look(4)] == ["INFO"]
    assert watched.serves() == "new"


def test_a_file_that_is_missing_for_a_moment_is_not_spoken_of(watched: Watched) -> None:
    watched.key.unlink()
    assert watched.look() == []
    watched.write(OLD)
    assert watched.look(3) == []
    watched.key.unlink()
    assert watched.look(4) == [
        ("ERROR", f"HITCHPOST_TLS_KEY: {watched.key} can't be read: No such file or directory")
    ]
    watched.write(OLD)
    assert watched.look(3) == []
    watched.key.unlink()
    assert [level for level, _ in watched.look(4)] == ["ERROR"]


def test_another_trouble_is_said_and_none_twice(watched: Watched) -> None:
    watched.cert.write_bytes(b"garbage")
    assert [cause.split()[2:5] for _, cause in watched.look(4)] == [["holds", "no", "certificate"]]
    watched.cert.write_bytes(NEW.certificate)
    assert [level for level, _ in watched.look(4)] == ["ERROR"]
    watched.write(NEW)
    watched.client_ca.write_bytes(b"")
    assert [cause.split()[-2:] for _, cause in watched.look(4)] == [["is", "empty"]]
    assert watched.serves() == "old"


def test_a_certificate_that_has_expired_or_is_not_valid_yet_waits(watched: Watched) -> None:
    watched.write(AUTHORITY.identity("expired", begin=-2 * DAY, valid=-DAY))
    [(level, cause)] = watched.look(4)
    assert (level, watched.serves()) == ("ERROR", "old")
    assert "expired on" in cause
    watched.write(EARLY)
    [(_, cause)] = watched.look(4)
    assert "is not valid before" in cause
    # Nothing is written; only time goes by.
    watched.ahead = 3 * DAY
    assert [level for level, _ in watched.look(2)] == ["INFO"]
    assert watched.serves() == "early"


def test_an_end_that_comes_is_said_once_and_again_when_it_has_come(watched: Watched) -> None:
    watched.ahead = 7 * DAY
    [(level, cause)] = watched.look(3)
    assert level == "WARNING"
    assert "in less than 14 days: renew it" in cause
    watched.ahead = 21 * DAY
    [(level, cause)] = watched.look(3)
    assert cause.startswith("the certificate expired on ")
    watched.write(NEW)
    assert [level for level, _ in watched.look(3)] == ["INFO"]
