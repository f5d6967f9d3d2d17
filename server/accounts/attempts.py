"""The connect flow: an attempt begins by sending a browser away, and is completed by what it comes back with.

No transaction is open while the platform is asked: the attempt is consumed (transaction 1), the code is
exchanged (none), the profiles are claimed (transaction 2).
"""

import math
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from server.accounts import attempt_records, clients, outcomes, ownership, profiles, stored_tokens
from server.accounts.accounts import Accounts
from server.accounts.attempt_records import Attempt
from server.accounts.callbacks import Callback
from server.accounts.confirmations import Confirmations
from server.accounts.outcomes import Outcome
from server.base import errors
from server.base.identity import Caller, Clock, confine
from server.base.platform_names import platform_name
from server.base.vault import Vault, fingerprint
from server.platforms import Asked, Platform, Platforms, Profile, Returned
from server.projects import projects, redirect_urls
from server.projects.platform_apps import PlatformApps
from server.storage.database import database

LIFETIME = timedelta(minutes=15)
LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "[::1]")


class Begun(NamedTuple):
    """Where to send the browser, the state it will come back with, and until when."""

    url: str
    state: str
    expire_time: datetime


class Attempts:
    """Begins and completes connection attempts.

    Platforms send browsers back to `callback_url`; with `own_callback` that is a page of Hitchpost's.
    """

    def __init__(
        self,
        clock: Clock,
        vault: Vault,
        platforms: Platforms,
        apps: PlatformApps,
        accounts: Accounts,
        confirmations: Confirmations,
        *,
        callback_url: str,
        own_callback: bool,
        allow_loopback: bool,
    ) -> None:
        self._clock = clock
        self._vault = vault
        self._platforms = platforms
        self._apps = apps
        self._accounts = accounts
        self._confirmations = confirmations
        self._callback_url = callback_url
        self._own_callback = own_callback
        self._allow_loopback = allow_loopback

    def begin(
        self,
        caller: Caller,
        platform: int,
        external_id: str | None,
        *,
        redirect_url: str,
        permissions: Sequence[str],
        options: Mapping[str, str],
        social_account_id: str | None,
        require_confirmation: bool,
    ) -> Begun:
        """Begins an attempt for the owner, or for none. Raises OwnerMismatch, PlatformNotConfigured,
        InvalidArgument (redirect_url not allowed, or missing where the confirmation code has to go),
        PlatformUnavailable; with social_account_id also SocialAccountNotFound, and OwnedByAnother for an
        account of another owner.
        """
        claimant = ownership.claimant(caller, external_id)
        asked = Asked(
            redirect_uri=self._redirect_uri(platform),
            state=secrets.token_urlsafe(32),
            code_verifier=secrets.token_urlsafe(48),
            permissions=permissions,
            options=options,
        )
        way = self._way(platform, options)
        self._check_redirect(caller, redirect_url, must_be=require_confirmation and self._own_callback)
        self._check_reconnect(caller, platform, claimant.owner, social_account_id)
        until, now = way.deadline(caller.deadline), self._clock()
        app_id, app = clients.to_begin_with(self._apps, claimant, way, asked, until, now)
        begun = profiles.begin(way, app, asked, until)
        attempt_records.INSERT.run(
            state_hash=fingerprint(asked.state),
            project=claimant.project_id,
            external_id=claimant.owner,
            platform=platform,
            social_account_id=social_account_id,
            code_verifier=self._vault.encrypt(asked.code_verifier),
            redirect_url=redirect_url,
            create_time=now,
            expire_time=now + LIFETIME,
            connection=way.name,
            platform_app_id=app_id,
            flow=stored_tokens.sealed(begun.flow, self._vault),
            require_confirmation=require_confirmation,
        )
        return Begun(begun.url, asked.state, now + LIFETIME)

    def complete(
        self,
        callback: Callback,
        *,
        caller: Caller | None = None,
        external_id: str | None = None,
        platform: str | None = None,
        receipt: str | None = None,
        deadline: float = math.inf,
    ) -> Outcome:
        """Ends the attempt that the callback's state belongs to, or gives up at the caller's deadline.

        With a receipt, a random secret, the outcome can be had again; see `remembered`. An attempt that
        requires confirmation claims nothing; see confirmations.

        Give the caller, if there is one, the owner the attempt must have begun with, or the platform
        whose callback it came to: the attempt ends only if they fit. Raises AuthStateUnknown,
        AuthStateUsed, AuthStateExpired, AuthStateOfAnotherProject, OwnerMismatch; AuthDenied,
        AuthCodeRefused, AuthInterrupted, PlatformUnavailable, AuthNoProfile, AuthWrongProfile; and
        OwnedByAnother when no profile was connected.
        """
        attempt = self._consume(callback.state, caller, external_id, platform)
        if callback.error:
            raise _refusal(callback.error, platform_name(attempt.platform))
        found = self._profiles(callback, attempt, deadline)
        if attempt.social_account_id is not None:
            found = _only(found, attempt, attempt.social_account_id)
        if attempt.require_confirmation:
            return self._confirmations.keep(attempt, found, receipt)
        with database.transaction():
            outcome = outcomes.connect(self._accounts, attempt, found, self._clock())
            if receipt is not None and outcome.connected:
                outcomes.remember(attempt, receipt, outcome)
        if not outcome.connected:
            raise errors.OwnedByAnother(platform=platform_name(attempt.platform))
        return outcome

    def remembered(self, state: str, receipt: str) -> Outcome | None:
        """What the attempt has connected, for who has the receipt; see outcomes.remembered."""
        return outcomes.remembered(state, receipt, self._clock())

    def return_address(self, state: str) -> str:
        """Where the browser of this attempt wants to end; empty for an unknown attempt, or if nowhere."""
        attempt = attempt_records.FIND.first(state_hash=fingerprint(state))
        return attempt.redirect_url if attempt else ""

    def _way(self, platform: int, options: Mapping[str, str]) -> Platform:
        way = self._platforms.choose(platform_name(platform), options)
        if way is None:
            raise errors.PlatformNotConfigured(platform=platform_name(platform))
        return way

    def _redirect_uri(self, platform: int) -> str:
        return f"{self._callback_url}/{platform_name(platform)}"

    def _check_redirect(self, caller: Caller, url: str, *, must_be: bool) -> None:
        if must_be and not url:
            raise errors.invalid(
                "redirect_url", "must be there with require_confirmation: the confirmation_code goes to it"
            )
        loopback = self._allow_loopback and url and redirect_urls.host(url) in LOOPBACK_HOSTS
        if url and not loopback and url not in projects.redirect_urls(caller):
            raise errors.invalid(
                "redirect_url", "is not on the project's allow-list (hitchpost projects add-redirect-url)"
            )

    def _check_reconnect(
        self, caller: Caller, platform: int, owner: str | None, account_id: str | None
    ) -> None:
        """What the claim would refuse is refused at once; an account that is nobody's can be reconnected for
        an owner, who claims it."""
        if account_id is None:
            return
        account = self._accounts.get(caller, account_id)
        if account.platform != platform:
            raise errors.invalid("social_account_id", "is an account on another platform")
        if account.external_id not in (None, owner):
            raise errors.OwnedByAnother(platform=platform_name(platform))

    def _consume(
        self, state: str, caller: Caller | None, external_id: str | None, platform: str | None
    ) -> Attempt:
        attempt, now = attempt_records.FIND.first(state_hash=fingerprint(state)), self._clock()
        # Who the attempt belongs to never changes, so it can be looked at before the attempt is consumed.
        if attempt is None or platform not in (None, platform_name(attempt.platform)):
            raise errors.AuthStateUnknown
        if caller is not None:
            if caller.project_id != attempt.project_id:
                raise errors.AuthStateOfAnotherProject
            confine(caller, attempt.external_id)
        if external_id not in (None, attempt.external_id):
            raise errors.OwnerMismatch
        consumed = attempt_records.CONSUME.first(
            project=attempt.project_id, state_hash=attempt.state_hash, now=now
        )
        if consumed is None:
            raise errors.AuthStateExpired if attempt.expire_time <= now else errors.AuthStateUsed
        return attempt

    def _profiles(self, callback: Callback, attempt: Attempt, deadline: float) -> list[Profile]:
        way = self._platforms.named(attempt.connection, platform_name(attempt.platform))
        if way is None:
            raise errors.PlatformNotConfigured(platform=platform_name(attempt.platform))
        returned = Returned(
            code=callback.code,
            issuer=callback.issuer,
            redirect_uri=self._redirect_uri(attempt.platform),
            code_verifier=self._vault.decrypt(attempt.code_verifier),
            flow=stored_tokens.opened(attempt.flow, self._vault),
        )
        try:
            app = clients.begun_with(self._apps, attempt, way)
            return profiles.behind(way, app, returned, self._clock, way.deadline(deadline))
        except errors.PlatformUnavailable:
            # The code may still be good: the same callback can be tried again.
            attempt_records.RELEASE.run(project=attempt.project_id, state_hash=attempt.state_hash)
            raise


def _only(found: list[Profile], attempt: Attempt, account_id: str) -> list[Profile]:
    """The profile of the account to reconnect. Whose it is by now, the claim will see."""
    accounts = attempt_records.ACCOUNTS.all(project=attempt.project_id, ids=[account_id])
    if not accounts:
        raise errors.SocialAccountNotFound(id=account_id)
    chosen = [profile for profile in found if profile.platform_user_id == accounts[0].platform_user_id]
    if not chosen:
        raise errors.AuthWrongProfile(platform=platform_name(attempt.platform))
    return chosen


def _refusal(error: str, platform: str) -> errors.HitchpostError:
    """RFC 6749, 4.1.2.1: what the platform says instead of giving a code."""
    if error == "access_denied":
        return errors.AuthDenied(platform=platform)
    return errors.AuthCodeRefused(platform=platform)
