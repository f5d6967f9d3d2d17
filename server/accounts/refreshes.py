"""Tokens stay alive: each is refreshed before it expires, as due work, and by one worker at a time.

No transaction is open while a platform is asked. What a crash in between means: docs/decisions has it.
"""

import dataclasses
import logging
import time
from datetime import datetime

from cryptography.fernet import InvalidToken

from generated.hitchpost.v1 import social_account_service_pb2 as pb
from server.accounts import refresh_records, revocations, stored_tokens
from server.accounts.profiles import fitted_tokens
from server.accounts.refresh_records import KIND, Refresh, Taken, Taking
from server.accounts.refresh_times import refresh_time
from server.accounts.rows import StoredTokens
from server.base.identity import Clock
from server.base.platform_names import platform_name
from server.base.vault import Vault
from server.platforms import (
    ClientApp,
    Platform,
    PlatformRefused,
    Platforms,
    PlatformUnreachable,
    Tokens,
    TokensRefused,
)
from server.projects.platform_apps import PlatformApps
from server.storage.due_work import Leased, backoff, surely

log = logging.getLogger(__name__)

# After tries in vain; the first comes well before the access token expires. A platform that lets us wait has
# longer, in proportion, so that those who wait for it don't keep all threads from others.
FIRST_SECONDS, MOST_SECONDS = 30.0, 3600.0
TIMES_AS_LONG = 60.0
# Another account of the login is being connected, for example.
BUSY_SECONDS = 1.0


class AppDeleted(Exception):
    """The app that the tokens belong to is not there any more."""


class NobodyToAsk(Exception):
    """The platform is not set up, or the project has no app for tokens that were imported; it may come."""


def reauth_reason(failure: Exception, *, expired: bool) -> int | None:
    """Why the person has to connect again after this failure; None when it may pass.

    `expired` is whether the access token has: until then the account is of use, whoever is at fault.
    """
    match failure:
        case TokensRefused():
            return pb.SOCIAL_ACCOUNT_REAUTH_REASON_TOKENS_REFUSED
        case AppDeleted():
            return pb.SOCIAL_ACCOUNT_REAUTH_REASON_APP_DELETED
        case NobodyToAsk() if expired:
            return pb.SOCIAL_ACCOUNT_REAUTH_REASON_APP_DELETED
        case PlatformRefused() if expired:
            return pb.SOCIAL_ACCOUNT_REAUTH_REASON_APP_REFUSED
    return None


class Refresher:
    """Asks platforms for new tokens."""

    def __init__(self, clock: Clock, vault: Vault, platforms: Platforms, apps: PlatformApps) -> None:
        self._clock = clock
        self._vault = vault
        self._platforms = platforms
        self._apps = apps

    def refresh(self, leased: Leased[Refresh]) -> None:
        """Refreshes the tokens, or finds that it can't be done, now or ever. Raises as Database.run.

        When the lease before has run out, somebody may have been given new tokens and died. The old ones are
        asked with again: a platform that has replaced them refuses, and the person has to connect again.
        """
        taking = refresh_records.take(leased)
        if taking is None:
            KIND.retry(leased, BUSY_SECONDS)
            return
        asked, until = self._clock(), time.monotonic() + KIND.seconds / 2
        try:
            way, app = self._asked(taking.project_id, taking.account)
            tokens = _tokens(taking.account, self._vault)
            if not way.can_refresh(tokens):
                taking.later(None)
                return
            fresh = fitted_tokens(way.refresh(app, tokens, asked, way.deadline()))
        except (PlatformRefused, PlatformUnreachable, AppDeleted, NobodyToAsk, InvalidToken) as failure:
            self._failed(taking, failure, asked)
        else:
            self._keep(taking, way, fresh, until)

    def _asked(self, project_id: str, account: Taken) -> tuple[Platform, ClientApp]:
        way = self._platforms.named(account.connection, platform_name(account.platform))
        if way is None:
            raise NobodyToAsk("the platform is not set up")
        app = self._apps.of_tokens(project_id, way, account.platform_app_id)
        if app is not None:
            return way, app
        if account.platform_app_id is not None:
            raise AppDeleted("the app was deleted")
        raise NobodyToAsk("the project has no app of the platform")

    def _failed(self, taking: Taking, failure: Exception, asked: datetime) -> None:
        now, expire_time = self._clock(), taking.account.access_token_expire_time
        expired = expire_time is not None and expire_time <= now
        reason = reauth_reason(failure, expired=expired)
        if reason is not None:
            if taking.refuse(reason, now):
                name = pb.SocialAccountReauthReason.Name(reason)
                _report("an account needs its person again", taking, failure, reason=name)
            return
        first = max(FIRST_SECONDS, TIMES_AS_LONG * (now - asked).total_seconds())
        taking.later(backoff(taking.account.refresh_failures + 1, first=first, most=MOST_SECONDS))
        if expired or not isinstance(failure, PlatformUnreachable):
            _report("tokens can't be refreshed for now", taking, failure, expired=expired)

    def _keep(self, taking: Taking, way: Platform, fresh: Tokens, until: float) -> None:
        """Stores the new tokens. A database that is away is waited for: the old ones may be dead by now."""
        stored, now = stored_tokens.encrypted(fresh, self._vault), self._clock()
        due_time = refresh_time(way, fresh, now)
        surely(lambda: self._store(taking, fresh, stored, due_time, now), until - time.monotonic())

    def _store(
        self, taking: Taking, fresh: Tokens, stored: StoredTokens, due_time: datetime | None, now: datetime
    ) -> None:
        kept = taking.keep(
            stored, expire_time=fresh.expire_time, scopes=fresh.scopes, due_time=due_time, now=now
        )
        if not kept:
            revocations.revoke_unless_connected(
                taking.project_id, taking.account_ids, taking.account, stored, now
            )


def _tokens(account: Taken, vault: Vault) -> Tokens:
    stored = StoredTokens(account.access_token, account.refresh_token, account.context)
    return dataclasses.replace(
        stored_tokens.decrypted(stored, vault),
        expire_time=account.access_token_expire_time,
        scopes=tuple(account.scopes),
    )


def _report(message: str, taking: Taking, failure: Exception, **more: object) -> None:
    cause = str(failure) or "no encryption key decrypts them"
    ids = {"project": taking.project_id, "social_account_ids": ",".join(taking.account_ids)}
    log.warning(message, extra={**ids, "cause": cause, **more})
