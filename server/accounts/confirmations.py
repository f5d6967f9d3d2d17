"""Attempts that claim nothing until the application has said, of its own signed-in user, who came back.

The profiles that the login shared are kept, encrypted, with the attempt, for whoever has the confirmation
code. They are erased when the code is used, when it is used by the wrong owner, or when the attempt expires.
docs/wrong-person.md has the attack that this keeps out.
"""

import secrets
from collections.abc import Sequence
from datetime import timedelta

from pydantic import ConfigDict, TypeAdapter

from server.accounts import outcomes, ownership
from server.accounts.accounts import Accounts
from server.accounts.attempt_records import Attempt
from server.accounts.outcomes import Outcome
from server.base import errors
from server.base.identity import Caller, Clock
from server.base.platform_names import platform_name
from server.base.vault import Vault, fingerprint
from server.platforms import Profile
from server.storage.database import database
from server.storage.forgetting import Forgetting
from server.storage.models import AuthSession
from server.storage.statements import Command, Statement

# Of all profiles of a login, before they are encrypted: some thousands.
MOST_BYTES = 4 * 1024 * 1024
# Of any fields that a profile and its tokens have. Errors must not repeat what was read.
_PROFILES = TypeAdapter(list[Profile], config=ConfigDict(hide_input_in_errors=True))

_KEEP = Command(
    "confirmations.keep",
    """
    UPDATE auth_session
    SET receipt_hash = $receipt_hash, confirmation_hash = $confirmation_hash, profiles = $profiles,
        erase_time = expire_time
    WHERE project_id = $project AND state_hash = $state_hash
    """,
)
_FIND = Statement(
    "confirmations.find",
    f"""
    SELECT {", ".join(Attempt._fields)} FROM auth_session
    WHERE project_id = $project AND confirmation_hash = $confirmation_hash
    """,
    Attempt._make,
)
_TAKE = Statement(
    "confirmations.take",
    """
    WITH held AS (              -- of two that come at once, the second finds nothing left
      SELECT profiles FROM auth_session
      WHERE project_id = $project AND state_hash = $state_hash
        AND profiles IS NOT NULL AND expire_time > $now
      FOR UPDATE
    ), erased AS (
      UPDATE auth_session SET profiles = NULL, erase_time = NULL
      WHERE project_id = $project AND state_hash = $state_hash AND EXISTS (SELECT FROM held)
    )
    SELECT profiles FROM held
    """,
    tuple[memoryview],
)
_ERASE = Command(
    "confirmations.erase",
    """
    UPDATE auth_session SET profiles = NULL, erase_time = NULL
    WHERE project_id = $project AND state_hash = $state_hash
    """,
)
UNCONFIRMED = Forgetting(
    "confirmations", AuthSession.erase_time, timedelta(0), erased=(AuthSession.profiles,)
)


class Confirmations:
    """Keeps what attempts bring until it is confirmed."""

    def __init__(self, clock: Clock, vault: Vault, accounts: Accounts) -> None:
        self._clock = clock
        self._vault = vault
        self._accounts = accounts

    def keep(self, attempt: Attempt, profiles: Sequence[Profile], receipt: str | None) -> Outcome:
        """Keeps the profiles of a consumed attempt until it expires; the outcome has the code that confirms.

        Raises AuthInterrupted for more than can be kept.
        """
        receipt = receipt or secrets.token_urlsafe(32)
        code = outcomes.confirmation_code(receipt)
        _KEEP.run(
            project=attempt.project_id,
            state_hash=attempt.state_hash,
            receipt_hash=fingerprint(receipt),
            confirmation_hash=fingerprint(code),
            profiles=self._vault.encrypt(_written(attempt, profiles)),
        )
        return Outcome([], [], attempt.redirect_url, code)

    def confirm(self, caller: Caller, code: str, external_id: str | None) -> Outcome:
        """Claims what the attempt with this code has brought, if it was begun for the owner that the call
        names, or is confined to.

        Raises AuthConfirmationUnknown; OwnerMismatch, after which the code is of no use to anybody;
        AuthConfirmationUsed, AuthStateExpired; SocialAccountNotFound when the account to reconnect was
        deleted meanwhile; OwnedByAnother when no profile was connected.
        """
        attempt = _FIND.first(project=caller.project_id, confirmation_hash=fingerprint(code))
        if attempt is None:
            raise errors.AuthConfirmationUnknown
        self._check_owner(caller, external_id, attempt)
        now = self._clock()
        with database.transaction():
            taken = _TAKE.first(project=attempt.project_id, state_hash=attempt.state_hash, now=now)
            if taken is None:
                raise errors.AuthStateExpired if attempt.expire_time <= now else errors.AuthConfirmationUsed
            found = _PROFILES.validate_json(self._vault.decrypt(taken[0]))
            outcome = outcomes.connect(self._accounts, attempt, found, now)
        if not outcome.connected:
            raise errors.OwnedByAnother(platform=platform_name(attempt.platform))
        return outcome

    def _check_owner(self, caller: Caller, external_id: str | None, attempt: Attempt) -> None:
        """Whose attempt it is never changes, so it can be looked at before anything is taken.

        The code is a secret of the browser that came back, and the application says that this is somebody
        else's: the tokens are those of the wrong person.
        """
        try:
            if ownership.claimant(caller, external_id).owner != attempt.external_id:
                raise errors.OwnerMismatch
        except errors.OwnerMismatch:
            _ERASE.run(project=attempt.project_id, state_hash=attempt.state_hash)
            raise


def _written(attempt: Attempt, profiles: Sequence[Profile]) -> str:
    """The profiles as JSON. Raises AuthInterrupted when they are too many: tokens may be long, and shared."""
    parts, room = [], MOST_BYTES
    for profile in profiles:
        parts.append(_PROFILES.dump_json([profile])[1:-1].decode())
        room -= len(parts[-1])
        if room < 0:
            raise errors.AuthInterrupted(platform=platform_name(attempt.platform))
    return f"[{','.join(parts)}]"
