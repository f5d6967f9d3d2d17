"""What processes look at for metrics: what waits in the database, certificates, lanes; and what was shed."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc

from generated.hitchpost.v1 import platform_pb2
from server.accounts.revocations import KIND
from server.base.errors import DatabaseUnavailable, Overloaded, StatementTimeout
from server.base.identity import utc_now
from server.base.vault import Vault
from server.config import Settings
from server.rpc.call import Call
from server.rpc.layers import ended
from server.run import tls
from server.run.backlogs import Backlogs
from server.run.watching import Certificates
from server.storage.due_rows import Backlog
from tests.conftest import ENCRYPTION_KEY, Running
from tests.kit.certificates import Authority
from tests.kit.metrics import Growth, here
from tests.kit.support import Client

PLANT = """
    INSERT INTO token_revocation
    SELECT %s, 'watched_' || n, %s, 'sa_1', %s, NULL, now(), now() - interval '90 s', NULL, 0, NULL
    FROM generate_series(1, 3) n"""


class Waiting:
    """A kind of due work of which a look fails, or finds two rows."""

    every = 1.0

    def __init__(self, name: str, error: Exception | None = None) -> None:
        self.name = name
        self.looks = 0
        self._error = error

    def turn(self, *_: Any) -> bool:
        return False

    def backlog(self) -> Backlog:
        self.looks += 1
        if self._error:
            raise self._error
        return Backlog(2, 7.0, 1)


def test_what_is_due_and_how_late_is_told(
    running: Running, client: Client, sql: Callable[..., list[tuple[Any, ...]]]
) -> None:
    token = Vault(ENCRYPTION_KEY).encrypt("secret-0-kept")
    sql(PLANT, client.project_id, platform_pb2.PLATFORM_SANDBOX, token)
    try:
        Backlogs([KIND]).look()  # type: ignore[list-item] # all of Work that is looked at
    finally:
        sql("DELETE FROM token_revocation WHERE project_id = %s", client.project_id)
    told = here()
    assert told.value("due_work_due", kind="revocations") >= 3
    assert told.value("due_work_late_seconds", kind="revocations") >= 90
    assert told.value("database_up", role="worker") == 1
    assert told.value("schema_version") > 0


def test_a_look_that_takes_too_long_keeps_no_other_from_being_told(running: Running) -> None:
    slow, quick = Waiting("watched-slow", StatementTimeout()), Waiting("watched-quick")
    looking = Backlogs([slow, quick])
    looking.look()
    looking.look()
    # Not more often than it is time for.
    assert (slow.looks, quick.looks) == (1, 1)
    told = here()
    assert told.value("due_work_due", kind="watched-quick") == 2
    assert told.value("due_work_leases_ran_out", kind="watched-quick") == 1
    assert [labels for labels, _ in told.series("due_work_due") if labels["kind"] == slow.name] == []
    assert told.value("database_up", role="worker") == 1


def test_a_database_that_is_away_is_told(running: Running) -> None:
    Backlogs([Waiting("watched-away", DatabaseUnavailable())]).look()
    assert here().value("database_up", role="worker") == 0


def test_when_certificates_end_is_told(tmp_path: Path) -> None:
    soon, late = timedelta(days=3), timedelta(days=30)
    authority = Authority("ca", valid=late)
    server = authority.identity("server", valid=soon)
    over = Authority("old", begin=-late, valid=-soon).certificate
    settings = Settings()
    files = {
        "tls_cert": server.certificate,
        "tls_key": server.key,
        "tls_client_ca": over + authority.certificate,
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    settings = settings.model_copy(update={name: tmp_path / name for name in files})
    ends = tls.ends(settings, utc_now())
    assert soon - timedelta(hours=1) < ends["certificate"] - datetime.now(UTC) <= soon
    # An old one may be left in the file.
    assert late - timedelta(hours=1) < ends["client_ca"] - datetime.now(UTC) <= late
    Certificates(settings).look()
    for file, end in ends.items():
        assert here().value("tls_certificate_expiry_seconds", file=file) == end.timestamp()
    assert tls.ends(Settings(), utc_now()) == {}


def test_a_call_that_is_shed_is_counted_for_its_lane() -> None:
    grown = Growth()
    ended("S/M", Call(code=grpc.StatusCode.RESOURCE_EXHAUSTED, error=Overloaded()), "write")
    ended("S/M", Call(code=grpc.StatusCode.DEADLINE_EXCEEDED, error=StatementTimeout()), "write")
    ended("S/M", Call(), "write")
    assert grown.of("calls_shed_total", lane="write") == grown.of("calls_shed_total") == 1
