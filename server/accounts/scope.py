"""What a call may reach: its project's accounts, or if it is confined to an owner (x-external-id) theirs
alone: not another's, and not what is nobody's.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from server.base import errors
from server.base.identity import Caller, confine
from server.storage.statements import Statement


class Owned(NamedTuple):
    """Whose an account is."""

    id: str
    owner: str | None
    platform: int


class Sendable(NamedTuple):
    """What sending a post to an account depends on. `limits` are its own, see platforms/limits.py."""

    id: str
    owner: str | None
    platform: int
    state: int
    scopes: Sequence[str]
    limits: Mapping[str, Any] | None


_OWNED = """
    SELECT id, external_id, platform FROM social_account
    WHERE project_id = $project AND id = ANY($ids)
"""
_OWNERS = Statement("accounts.owners", _OWNED, Owned._make)
# They can't be deleted until the transaction ends.
_HOLD = Statement("accounts.hold", f"{_OWNED} ORDER BY id FOR KEY SHARE", Owned._make)


def check_owners(caller: Caller, ids: Sequence[str]) -> None:
    """Raises OwnerMismatch when one of these accounts is not the owner's that the call is confined to."""
    if caller.owner is not None and ids:
        found = _OWNERS.all(ids=list(ids), project=caller.project_id)
        confine(caller, *(account.owner for account in found))


def hold(caller: Caller, ids: Sequence[str]) -> None:
    """Keeps these accounts from being deleted until the transaction ends. Raises as check_usable."""
    check_usable(caller, ids, _HOLD.all(ids=list(ids), project=caller.project_id))


def check_usable(caller: Caller, ids: Sequence[str], found: Sequence[Owned | Sendable]) -> None:
    """Whether a post may name the accounts, given those of them that were found.

    Raises SocialAccountNotFound for one that is not in the project, OwnerMismatch as check_owners.
    """
    missing = set(ids) - {account.id for account in found}
    if missing:
        raise errors.SocialAccountNotFound(id=min(missing))
    confine(caller, *(account.owner for account in found))


_SENDABLE = Statement(
    "accounts.sendable",
    """
    SELECT id, external_id, platform, state, scopes, limits FROM social_account
    WHERE project_id = $project AND id = ANY($ids)
    """,
    Sendable._make,
)


def sendable(caller: Caller, ids: Sequence[str]) -> list[Sendable]:
    """These accounts, in this order. Raises as check_usable."""
    found = _SENDABLE.all(ids=list(ids), project=caller.project_id)
    check_usable(caller, ids, found)
    by_id = {account.id: account for account in found}
    return [by_id[account_id] for account_id in ids]
