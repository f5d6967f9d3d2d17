"""A Mastodon server as one account asks it: where it is, when it takes no more calls, what its errors mean.

Whoever has a server decides what it answers: it is spoken to at the address that it was named by, and nothing
that it says leads to another one. Its errors are told by words of their text, which is never repeated.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx2

from server.platforms.http import Http
from server.platforms.mastodon import address_of
from server.platforms.paths import at
from server.publish import calls
from server.publish.categories import AUTH, CONTENT, MEDIA, PERMISSION, PLATFORM, RATE_LIMIT
from server.publish.publisher import PublishFailed, Sender, Uncertain

Asking = Callable[[httpx2.AsyncClient], Awaitable[httpx2.Response]]

HOME = re.compile(r"([A-Za-z0-9_-]{1,128})@([a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?(?::[1-9][0-9]{0,4})?)")
ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
# Its own limits reset after at most three hours; whatever else it says is not believed.
MOST_SECONDS = 24 * 3600.0
# By which a POST clearly has not been carried out (RFC 9110, 15.4): it is to be repeated elsewhere.
SENT_ELSEWHERE = (301, 307, 308)
# Nobody knows whether the server has acted before a proxy said this.
UNCLEAR = (408, 425)


CONNECT = "connect the account again, then call RetrySocialPost."
SCOPES = f"The account has not permitted this (write:statuses, and write:media for media): {CONNECT}"
REFUSED_FILE = "The server can't read this file, or doesn't take its type: use another one."
UPLOAD_AGAIN = "The server no longer has an uploaded medium: call RetrySocialPost, which uploads it again."


@dataclass(frozen=True, slots=True)
class Row:
    """What an answer means: with this status, to this kind of call ("" any), if its error has these words.

    The words of the API itself are English everywhere; those of models are in the server's language.
    """

    status: int
    call: str
    words: str
    category: int
    code: str
    message: str
    retryable: bool = False


# The first that fits counts.
ROWS = (
    Row(400, "media", "", MEDIA, "HTTP 400", REFUSED_FILE),
    Row(400, "", "", CONTENT, "HTTP 400", "The server can't read this post: change it."),
    Row(401, "", "", AUTH, "HTTP 401", f"The server no longer takes the access token: {CONNECT}"),
    Row(403, "", "authorized scopes", PERMISSION, "SCOPE_MISSING", SCOPES),
    Row(
        403,
        "",
        "your login is",
        PERMISSION,
        "LOGIN_DISABLED",
        "The server has disabled this login, or waits for its approval or e-mail address: settle it there.",
    ),
    Row(
        403, "", "", PERMISSION, "HTTP 403", "The server doesn't allow this account to do it: look there why."
    ),
    Row(404, "media", "", PLATFORM, "HTTP 404", "The server takes no media in this way: it may be too old."),
    Row(404, "ready", "", MEDIA, "MEDIA_GONE", UPLOAD_AGAIN),
    Row(404, "reply", "", CONTENT, "REPLY_GONE", "The post that it replies to is no longer there."),
    Row(
        404, "", "", PLATFORM, "HTTP 404", "The server doesn't know this call, or the post was deleted there."
    ),
    Row(413, "", "", MEDIA, "HTTP 413", "The medium is larger than the server takes: use a smaller one."),
    Row(422, "", "authenticated user", AUTH, "HTTP 422", f"The access token is nobody's: {CONNECT}"),
    Row(422, "media", "", MEDIA, "HTTP 422", REFUSED_FILE),
    Row(
        422, "ready", "", MEDIA, "MEDIA_FAILED", "The server could not process this medium: use another one."
    ),
    Row(
        422,
        "",
        "finished processing|try again in a moment",
        MEDIA,
        "MEDIA_NOT_READY",
        "The server is still at work on the media; it is tried again.",
        retryable=True,
    ),
    Row(422, "", "already attached", MEDIA, "MEDIA_GONE", UPLOAD_AGAIN),
    Row(
        422,
        "",
        "cannot attach",
        MEDIA,
        "MEDIA_COMBINATION",
        "These media can't be together in one post there.",
    ),
    Row(
        422, "", "poll", CONTENT, "POLL", "The server doesn't take this poll: change its options or duration."
    ),
    Row(422, "", "character limit", CONTENT, "TEXT_TOO_LONG", "The text is longer than the server takes."),
    Row(
        422, "", "", CONTENT, "HTTP 422", "The server doesn't take this text, or these options: change them."
    ),
    # Of an upload it says so for a file that it will never read.
    Row(500, "media", "error processing", MEDIA, "MEDIA_FAILED", REFUSED_FILE),
)
REDIRECTED = (
    "The server sends its callers elsewhere, which is not followed: connect the account at its new server."
)
UNREADABLE = "The server's answer can't be read; it is tried again."
NO_HOME = f"The account's id is not `id@server`: {CONNECT}"


class Server:
    """The server of an account. `address` has no final slash, `account_id` is the account's there."""

    def __init__(self, http: Http, sender: Sender, now: datetime, until: float) -> None:
        home = HOME.fullmatch(sender.platform_user_id)
        if home is None:
            raise PublishFailed(AUTH, "ACCOUNT_ID", NO_HOME)
        self.account_id, instance = home.groups()
        self.address = address_of(instance, allow_private=http.allows_private)
        self.authorized = {"Authorization": f"Bearer {sender.tokens.access_token}"}
        self._http, self._now, self._until = http, now, until

    def ask(self, asking: Asking, call: str, *, publishes: bool = False) -> httpx2.Response:
        """The answer, if it says that it was done. Raises PublishFailed; if it `publishes`, Uncertain."""
        response = calls.ask(self._http, asking, self._until, publishes=publishes)
        if not response.is_success:
            self._refuse(response, call, publishes=publishes)
        return response

    def get(
        self, path: str, call: str = "", *, anonymous: bool = False, **parameters: Any
    ) -> httpx2.Response:
        """The answer to this call that reads, as the account's or as anybody's. Raises PublishFailed."""
        headers = {} if anonymous else self.authorized
        url = f"{self.address}{path}"
        return self.ask(lambda client: client.get(url, headers=headers, params=parameters), call)

    def _refuse(self, response: httpx2.Response, call: str, *, publishes: bool) -> None:
        status, words = response.status_code, _words(response)
        if status == 429:
            wait = self.reset(response)
            raise PublishFailed(
                RATE_LIMIT, "HTTP 429", calls.LIMITED, retryable=True, retry_after=wait, scope="account"
            )
        for row in ROWS:
            if row.status == status and row.call in ("", call) and re.search(row.words, words):
                raise PublishFailed(row.category, row.code, row.message, retryable=row.retryable)
        calls.check_status(response, publishes=publishes)
        if response.is_redirect and (status in SENT_ELSEWHERE or not publishes):
            raise PublishFailed(PLATFORM, "REDIRECTED", REDIRECTED)
        if status in UNCLEAR or not 400 <= status < 500:
            raise Uncertain(f"HTTP {status}") if publishes else unreadable(f"HTTP {status}")
        raise PublishFailed(
            PLATFORM, f"HTTP {status}", "The server refuses this without a reason that is known."
        )

    def spent(self, response: httpx2.Response) -> float | None:
        """For how many seconds there are no more calls after this one; None while there are."""
        return self.reset(response) if response.headers.get("X-RateLimit-Remaining") == "0" else None

    def reset(self, response: httpx2.Response) -> float | None:
        """In how many seconds its limit begins anew, if it says so, and that is to come."""
        try:
            then = moment(response.headers.get("X-RateLimit-Reset"))
        except ValueError:
            return calls.retry_after(response)
        seconds = min((then - self.clock(response)).total_seconds(), MOST_SECONDS)
        return seconds if seconds > 0 else None

    def clock(self, response: httpx2.Response) -> datetime:
        """What time it is there: its times are by its own clock."""
        return calls.server_time(response) or self._now


def moment(value: object) -> datetime:
    """A time in ISO 8601. Raises ValueError for anything else."""
    if not isinstance(value, str):
        raise ValueError("a time is missing")
    then = datetime.fromisoformat(value)
    return then if then.tzinfo else then.replace(tzinfo=UTC)


def identifier(answer: object) -> str | None:
    """The id in an answer, if it is one: it becomes a part of addresses."""
    found = at(answer, "id")
    text = str(found) if isinstance(found, int) and not isinstance(found, bool) else found
    return text if isinstance(text, str) and ID.fullmatch(text) else None


def unreadable(code: str) -> PublishFailed:
    """It may be another answer next time."""
    return PublishFailed(PLATFORM, code, UNREADABLE, retryable=True)


def _words(response: httpx2.Response) -> str:
    """What it says is wrong, in small letters."""
    answer = calls.json_of(response)
    said = answer.get("error") if isinstance(answer, Mapping) else None
    return said.lower()[:2000] if isinstance(said, str) else ""
