"""What has to be right before `hitchpost serve` starts its processes: its addresses, and a database that
takes writes."""

import errno
import logging
import socket
import time
from collections.abc import Set
from threading import Event

from server.base.errors import DatabaseUnavailable
from server.config import Settings
from server.storage import statement_log
from server.storage.database import Database

log = logging.getLogger(__name__)

RETRY_SECONDS = 1.0
REMIND_SECONDS = 30.0
_ADDRESSES = "give an address of this machine, such as 127.0.0.1 or 0.0.0.0, and a port"


def check_addresses(settings: Settings, roles: Set[str]) -> None:
    """Raises OSError, which names the setting, for an address of these roles at which nobody can listen."""
    if "grpc" in roles:
        check_free("HITCHPOST_GRPC_ADDRESS", settings.grpc_address)
        for address in settings.own_addresses:
            check_free("HITCHPOST_GRPC_OWN_PORTS", address)
    if "web" in roles:
        check_free("HITCHPOST_WEB_ADDRESS", settings.web_address)
    if "worker" in roles and settings.worker_address is not None:
        check_free("HITCHPOST_WORKER_ADDRESS", settings.worker_address)
    if settings.metrics and settings.metrics_address is not None:
        check_free("HITCHPOST_METRICS_ADDRESS", settings.metrics_address)


def check_free(setting: str, address: str) -> None:
    """Raises OSError, which names the setting, when nobody can listen there, or when somebody does already:
    with SO_REUSEPORT the workers would not notice."""
    host, _, port = address.rpartition(":")
    try:
        found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise OSError(f"{setting}: the host of {address} is not found; {_ADDRESSES}") from error
    family, kind, protocol, _, target = found[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(target)
        except OSError as error:
            advice = f"; {_ADDRESSES}" if error.errno == errno.EADDRNOTAVAIL else ""
            raise OSError(f"{setting}: can't listen on {address}: {error.strerror}{advice}") from error


def wait_for_primary(database: Database, stop: Event) -> bool:
    """Waits until the database takes writes, however long; False when `stop` was set before.

    Logs what it waits for: at once, when that changes, and again now and then. Raises DatabaseUnavailable
    for what waiting does not mend, such as a wrong password.
    """
    logged, remind = "", 0.0
    while not stop.is_set():
        try:
            database.require_primary()
            return True
        except DatabaseUnavailable as error:
            if not error.passes:
                raise
            cause = error.for_operator
        # Of several hosts the next connection may find another.
        database.close()
        if cause != logged or time.monotonic() >= remind:
            log.warning("waiting for a database that takes writes", extra={"cause": cause})
            logged, remind = cause, time.monotonic() + REMIND_SECONDS
        stop.wait(RETRY_SECONDS)
    return False


def warn_of_statement_log(database: Database) -> None:
    """Logs a warning when PostgreSQL's own log would get what callers send, with what to do about it."""
    if loud := database.fetch(statement_log.LOUD):
        log.warning("PostgreSQL logs what callers send", extra={"cause": statement_log.remedy(loud)})
