"""The connect flow: `start` sends a browser away, `finish` takes what it comes back with.

No transaction is open while the platform is asked: the attempt is consumed (transaction 1), the code is
exchanged (none), the profiles are claimed (transaction 2).
"""

import math
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any, NamedTuple
from urllib.parse import parse_qs

from server import accounts, errors, projects, redirect_urls, sizes
from server.accounts import AccountRow, Accounts, platform_name
from server.database import database
from server.identity import Caller, Clock
from server.models import AuthSession
from server.platforms import OAuth2Platform, PlatformRefused, PlatformUnreachable, Profile
from server.purging import Purge
from server.statements import Statement, jsonb, param, params
from server.vault import Vault, fingerprint

LIFETIME = timedelta(minutes=15)
LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "[::1]")


class Attempt(NamedTuple):
    """A connection attempt, as it was begun."""

    project_id: str
    platform: int
    external_id: str | None
    social_account_id: str | None
    code_verifier: memoryview
    redirect_url: str
    expire_time: datetime
    consume_time: datetime | None


class Callback(NamedTuple):
    """What the browser came back with: a code, or the platform's error."""

    state: str
    code: str
    error: str

    @classmethod
    def from_query(cls, query: str) -> "Callback":
        """Raises ValueError unless the query has one state, and one code or error (RFC 6749, 4.1.2)."""
        parsed = parse_qs(query, keep_blank_values=False, max_num_fields=50)
        values = {name: parsed.get(name, []) for name in ("state", "code", "error")}
        if any(len(found) > 1 or "\0" in "".join(found) for found in values.values()):
            raise ValueError("state, code and error may each be there once only")
        state, code, error = ("".join(found) for found in values.values())
        if not state or not (code or error):
            raise ValueError("must have a state, and a code or an error, in its query")
        return cls(state, code, error)


class Started(NamedTuple):
    """Where to send the browser, the state it will come back with, and until when."""

    url: str
    state: str
    expire_time: datetime


class Rejected(NamedTuple):
    """A profile that was refused, and the reason as ErrorInfo has it."""

    platform_user_id: str
    username: str
    reason: str


class Finished(NamedTuple):
    """What an attempt brought: both lists by username, then by platform_user_id.

    `redirect_url` is where the browser wants to end; empty for nowhere.
    """

    connected: list[AccountRow]
    rejected: list[Rejected]
    redirect_url: str


class _Remembered(NamedTuple):
    """The same as it is stored: `result` has the ids of `connected`, and `rejected`."""

    project_id: str
    redirect_url: str
    result: dict[str, list[Any]]


_COLUMNS = [getattr(AuthSession, name) for name in Attempt._fields]
_THIS = AuthSession.state_hash == param("state_hash")
_INSERT = Statement(
    AuthSession.insert(params(AuthSession.state_hash, AuthSession.create_time, *_COLUMNS)), tuple[Any, ...]
)
_FIND = Statement(AuthSession.select(*_COLUMNS).where(_THIS), Attempt._make)
_CONSUME = Statement(
    AuthSession.update({AuthSession.consume_time: param("now")})
    .where(_THIS & AuthSession.consume_time.is_null() & (AuthSession.expire_time > param("now")))
    .returning(*_COLUMNS),
    Attempt._make,
)
_RELEASE = Statement(AuthSession.update({AuthSession.consume_time: None}).where(_THIS), tuple[Any, ...])
_REMEMBER = Statement(
    AuthSession.update(params(AuthSession.receipt_hash, AuthSession.result)).where(_THIS), tuple[Any, ...]
)
_REMEMBERED = Statement(
    AuthSession.select(AuthSession.project, AuthSession.redirect_url, AuthSession.result).where(
        _THIS & (AuthSession.receipt_hash == param("receipt_hash")) & (AuthSession.expire_time > param("now"))
    ),
    _Remembered._make,
)
# Until a day after they can still say why they fail.
EXPIRED_ATTEMPTS = Purge(AuthSession.expire_time, timedelta(days=1))


class Connections:
    """Begins and ends connection attempts."""

    def __init__(
        self,
        accounts: Accounts,
        platforms: Mapping[int, OAuth2Platform],
        vault: Vault,
        clock: Clock,
        *,
        callback_url: str,
        allow_loopback: bool,
    ) -> None:
        self._accounts = accounts
        self._platforms = platforms
        self._vault = vault
        self._clock = clock
        self._callback_url = callback_url
        self._allow_loopback = allow_loopback

    def start(
        self,
        caller: Caller,
        platform: int,
        external_id: str | None,
        *,
        redirect_url: str,
        permissions: Sequence[str],
        options: Mapping[str, str],
        social_account_id: str | None,
    ) -> Started:
        """Begins an attempt for the owner, or for none.

        Raises PlatformNotConfigured, InvalidArgument (redirect_url not allowed), OwnerMismatch; with
        social_account_id also SocialAccountNotFound, and OwnedByAnother for an account of another owner.
        """
        owner = accounts.scoped_owner(caller, external_id)
        adapter = self._platform(platform)
        self._check_redirect(caller, redirect_url)
        if social_account_id is not None:
            _check_reconnect(caller, platform, owner, social_account_id)
        now = self._clock()
        state, code_verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(48)
        _INSERT.all(
            state_hash=fingerprint(state),
            project=caller.project_id,
            platform=platform,
            external_id=owner,
            social_account_id=social_account_id,
            code_verifier=self._vault.encrypt(code_verifier),
            redirect_url=redirect_url,
            create_time=now,
            expire_time=now + LIFETIME,
            consume_time=None,
        )
        url = adapter.authorization_url(
            redirect_uri=self._redirect_uri(platform),
            state=state,
            code_verifier=code_verifier,
            permissions=permissions,
            options=options,
        )
        return Started(url, state, now + LIFETIME)

    def finish(
        self,
        callback: Callback,
        *,
        caller: Caller | None = None,
        external_id: str | None = None,
        platform: str | None = None,
        receipt: str | None = None,
        deadline: float = math.inf,
    ) -> Finished:
        """Ends the attempt that the callback's state belongs to, or gives up at the caller's deadline.

        With a receipt, a random secret, the result can be had again; see `remembered`.

        Give the caller, if there is one, the owner the attempt must have begun with, or the platform
        whose callback it came to: the attempt ends only if they fit. Raises AuthStateUnknown,
        AuthStateUsed, AuthStateExpired, AuthStateOfAnotherProject, OwnerMismatch; AuthDenied,
        AuthCodeRefused, AuthInterrupted, PlatformUnavailable, AuthNoProfile, AuthWrongProfile; and
        OwnedByAnother when no profile was connected.
        """
        attempt = self._consume(callback.state, caller, external_id, platform)
        if callback.error:
            raise _refusal(callback.error, platform_name(attempt.platform))
        profiles = self._profiles(callback, attempt, deadline)
        if attempt.social_account_id is not None:
            profiles = self._only(profiles, attempt)
        with database.transaction():
            finished = self._claim_each(profiles, attempt)
            if receipt is not None and finished.connected:
                _remember(callback.state, receipt, finished)
        if not finished.connected:
            raise errors.OwnedByAnother(platform=platform_name(attempt.platform))
        return finished

    def remembered(self, state: str, receipt: str) -> Finished | None:
        """What the attempt has connected, while it lives, for who has the receipt; else None.

        Accounts that have been deleted since are left out; without any there is nothing to say.
        """
        kept = _REMEMBERED.first(
            state_hash=fingerprint(state), receipt_hash=fingerprint(receipt), now=self._clock()
        )
        if kept is None:
            return None
        connected = []
        for account_id in kept.result["connected"]:
            with suppress(errors.SocialAccountNotFound):
                connected.append(accounts.get(Caller(kept.project_id, key_id=""), account_id))
        rejected = [Rejected(*profile) for profile in kept.result["rejected"]]
        return Finished(connected, rejected, kept.redirect_url) if connected else None

    def return_address(self, state: str) -> str:
        """Where the browser of this attempt wants to end; empty for an unknown attempt, or if nowhere."""
        attempt = _FIND.first(state_hash=fingerprint(state))
        return attempt.redirect_url if attempt else ""

    def _platform(self, platform: int) -> OAuth2Platform:
        if platform not in self._platforms:
            raise errors.PlatformNotConfigured(platform=platform_name(platform))
        return self._platforms[platform]

    def _redirect_uri(self, platform: int) -> str:
        return f"{self._callback_url}/{platform_name(platform)}"

    def _check_redirect(self, caller: Caller, url: str) -> None:
        loopback = self._allow_loopback and url and redirect_urls.host(url) in LOOPBACK_HOSTS
        if url and not loopback and url not in projects.redirect_urls(caller):
            raise errors.invalid(
                "redirect_url", "is not on the project's allow-list (hitchpost projects add-redirect-url)"
            )

    def _consume(
        self, state: str, caller: Caller | None, external_id: str | None, platform: str | None
    ) -> Attempt:
        key, now = fingerprint(state), self._clock()
        attempt = _FIND.first(state_hash=key)
        # Who the attempt belongs to never changes, so it can be looked at before the attempt is consumed.
        if attempt is None or platform not in (None, platform_name(attempt.platform)):
            raise errors.AuthStateUnknown
        if caller is not None and caller.project_id != attempt.project_id:
            raise errors.AuthStateOfAnotherProject
        if any(owner not in (None, attempt.external_id) for owner in (caller and caller.owner, external_id)):
            raise errors.OwnerMismatch
        if _CONSUME.first(state_hash=key, now=now) is None:
            raise errors.AuthStateExpired if attempt.expire_time <= now else errors.AuthStateUsed
        return attempt

    def _profiles(self, callback: Callback, attempt: Attempt, deadline: float) -> list[Profile]:
        adapter, name = self._platform(attempt.platform), platform_name(attempt.platform)
        until = adapter.deadline(deadline)
        try:
            tokens = adapter.exchange(
                code=callback.code,
                code_verifier=self._vault.decrypt(attempt.code_verifier),
                redirect_uri=self._redirect_uri(attempt.platform),
                now=self._clock(),
                until=until,
            )
        except PlatformRefused as refused:
            raise errors.AuthCodeRefused(platform=name) from refused
        except PlatformUnreachable as unreachable:
            # The code may still be good: the same callback can be tried again.
            _RELEASE.all(state_hash=fingerprint(callback.state))
            raise errors.PlatformUnavailable(platform=name) from unreachable
        try:
            found = adapter.profiles(tokens, self._clock(), until)
            profiles = [sizes.fitted(profile) for profile in found]
        except (PlatformRefused, PlatformUnreachable) as failed:
            raise errors.AuthInterrupted(platform=name) from failed
        if not profiles:
            raise errors.AuthNoProfile(platform=name)
        return profiles

    def _only(self, profiles: list[Profile], attempt: Attempt) -> list[Profile]:
        caller = Caller(attempt.project_id, key_id="")
        wanted = accounts.get(caller, attempt.social_account_id or "").platform_user_id
        chosen = [profile for profile in profiles if profile.platform_user_id == wanted]
        if not chosen:
            raise errors.AuthWrongProfile(platform=platform_name(attempt.platform))
        return chosen

    def _claim_each(self, profiles: list[Profile], attempt: Attempt) -> Finished:
        finished = Finished([], [], attempt.redirect_url)
        with database.transaction():
            # In one order for everybody, so that two logins with the same pages can't wait for each other.
            for profile in sorted(profiles, key=lambda profile: profile.platform_user_id):
                try:
                    account = self._accounts.claim(
                        attempt.project_id, attempt.platform, attempt.external_id, profile
                    )
                except errors.OwnedByAnother as refused:
                    finished.rejected.append(
                        Rejected(profile.platform_user_id, profile.username, errors.reason_name(refused))
                    )
                    continue
                if attempt.social_account_id not in (None, account.id):
                    # Deleted while the person was away: what came back is another record.
                    raise errors.SocialAccountNotFound(id=attempt.social_account_id or "")
                finished.connected.append(account)
        for found in (finished.connected, finished.rejected):
            found.sort(key=attrgetter("username", "platform_user_id"))
        return finished


def _remember(state: str, receipt: str, finished: Finished) -> None:
    result = {"connected": [account.id for account in finished.connected], "rejected": finished.rejected}
    _REMEMBER.all(state_hash=fingerprint(state), receipt_hash=fingerprint(receipt), result=jsonb(result))


def _check_reconnect(caller: Caller, platform: int, owner: str | None, account_id: str) -> None:
    account = accounts.get(caller, account_id)
    if account.platform != platform:
        raise errors.invalid("social_account_id", "is an account on another platform")
    if account.external_id not in (None, owner):
        raise errors.OwnedByAnother(platform=platform_name(platform))


def _refusal(error: str, platform: str) -> errors.HitchpostError:
    """RFC 6749, 4.1.2.1: what the platform says instead of giving a code."""
    if error == "access_denied":
        return errors.AuthDenied(platform=platform)
    return errors.AuthCodeRefused(platform=platform)
