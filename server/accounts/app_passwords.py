"""Connecting an account by an app password, which is used once and not kept: its session is."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from generated.hitchpost.v1 import platform_pb2
from server.accounts import ownership
from server.accounts.accounts import Accounts
from server.accounts.profiles import fitted
from server.accounts.rows import AccountRow, Connection
from server.base import errors
from server.base.identity import Caller, Clock
from server.platforms import PlatformRefused, PlatformUnreachable, Profile
from server.platforms.bluesky import Bluesky, WrongPassword

log = logging.getLogger(__name__)


class AppPasswords:
    """Signs in where accounts are, and claims them."""

    def __init__(self, clock: Clock, bluesky: Bluesky, accounts: Accounts) -> None:
        self._clock = clock
        self._bluesky = bluesky
        self._accounts = accounts

    @contextmanager
    def signed_in(
        self, caller: Caller, external_id: str | None, handle: str, app_password: str, service_url: str
    ) -> Iterator[Callable[[], AccountRow]]:
        """For a block that may claim the account, by calling what it is given, which raises OwnedByAnother.
        A session that was not claimed is ended.

        Raises OwnerMismatch before anything is asked, AppPasswordRefused, HandleUnknown, PlatformUnavailable.
        """
        claimant = ownership.claimant(caller, external_id)
        until = self._bluesky.deadline(caller.deadline)
        profile = self._profile(handle, app_password, service_url, until)
        claimed: list[AccountRow] = []

        def claim() -> AccountRow:
            connection = Connection(self._bluesky.name)
            row = self._accounts.claim(
                claimant, platform_pb2.PLATFORM_BLUESKY, profile, connection=connection
            )
            claimed.append(row)
            return row

        try:
            yield claim
        finally:
            # What was claimed stays, even if the database did not confirm it: it may be stored.
            if not claimed:
                self._end(profile, until)

    def _profile(self, handle: str, app_password: str, service_url: str, until: float) -> Profile:
        try:
            return fitted(self._bluesky.sign_in(handle, app_password, service_url, self._clock(), until))
        except WrongPassword as refused:
            raise errors.AppPasswordRefused(platform=self._bluesky.platform) from refused
        except PlatformRefused as refused:
            raise errors.HandleUnknown(platform=self._bluesky.platform) from refused
        except PlatformUnreachable as unreachable:
            raise errors.PlatformUnavailable(platform=self._bluesky.platform) from unreachable

    def _end(self, profile: Profile, until: float) -> None:
        """Else it would go on for months, with nobody who knows of it."""
        try:
            self._bluesky.revoke(self._bluesky.own_app, profile.tokens, until)
        except (PlatformRefused, PlatformUnreachable) as failed:
            log.warning("a session that is not needed could not be ended", extra={"cause": str(failed)})
