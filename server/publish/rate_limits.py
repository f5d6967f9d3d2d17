"""Until when a platform takes no more calls: of an account, an app, or this server. Every worker keeps to
what one of them was told."""

from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from server.accounts.publishing import Usable
from server.storage.forgetting import Forgetting
from server.storage.models import RateLimit
from server.storage.statements import Command, Statement

# What a platform says is not believed beyond this.
MOST_SECONDS = 24 * 3600.0
FORGOTTEN = Forgetting("rate_limits", RateLimit.until_time, timedelta(hours=1))
_PAUSED = Statement(
    "rate_limits.paused",
    """
    SELECT extract(epoch FROM max(until_time) - now())::float8 FROM rate_limit
    WHERE project_id = $project AND scope = ANY($scopes) AND until_time > now()
    """,
    tuple[float | None],
)
_PAUSE = Command(
    "rate_limits.pause",
    """
    INSERT INTO rate_limit AS before (project_id, scope, until_time)
    VALUES ($project, $scope, now() + $seconds::float8 * interval '1 second')
    ON CONFLICT (project_id, scope) DO UPDATE
    SET until_time = greatest(before.until_time, excluded.until_time)
    """,
)


def scopes(account_id: str, account: Usable) -> dict[str, str]:
    """What the limits of a platform may be of, as they are stored, by the publisher's word for it.

    A server is the account's own where a platform is many."""
    address = account.tokens.context.get("pds") or account.tokens.context.get("instance") or ""
    host = urlsplit(address).netloc or address or account.platform
    return {
        "account": f"account:{account_id}",
        "app": f"app:{account.platform}:{account.app_id or '-'}",
        "server": f"server:{host}",
    }


def paused(project_id: str, scopes: Collection[str]) -> float | None:
    """How many seconds to wait; None when there is no need to."""
    [(seconds,)] = _PAUSED.all(project=project_id, scopes=list(scopes))
    return seconds


def pause(project_id: str, scopes: Mapping[str, str], pauses: Mapping[str, float]) -> None:
    """The platform takes nothing more for so many seconds, by the publisher's word for what."""
    values: dict[str, Any] = {"project": project_id}
    for scope, seconds in sorted(pauses.items()):
        if scope in scopes and seconds > 0:
            _PAUSE.run(**values, scope=scopes[scope], seconds=min(seconds, MOST_SECONDS))
