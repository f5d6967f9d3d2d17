"""Who calls and whom for, and the two things a call takes from outside: the time and new ids."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from ulid import ULID

from server.base import errors

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The system's time, with its zone."""
    return datetime.now(UTC)


def new_id(kind: str, now: datetime) -> str:
    """A new id, such as `sa_` and a ULID: 26 characters that sort by time, 80 bits of them random."""
    return f"{kind}_{ULID.from_datetime(now)}"


@dataclass(frozen=True, slots=True)
class Caller:
    """The API key's project, and the owner that the call is confined to, if any.

    An `admin` key's project is "": no row is any of its. `deadline`, of time.monotonic(), is when who calls
    stops waiting; it is known to methods that wait for a platform.
    """

    project_id: str
    key_id: str
    read_only: bool = False
    owner: str | None = None
    deadline: float = math.inf
    admin: bool = False


def confine(caller: Caller, *owners: str | None) -> None:
    """Raises OwnerMismatch when the call is confined to an owner, and one of these is not that one."""
    if caller.owner is not None and any(owner != caller.owner for owner in owners):
        raise errors.OwnerMismatch
