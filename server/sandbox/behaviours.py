"""How the sandbox can be told to misbehave, and what it was told. docs/sandbox.md has the same table.

What it was told is in the database, so that all web processes do it.
"""

import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from server.storage.sandbox_models import SandboxBehaviour as B
from server.storage.statements import Command, Statement, jsonb, param

# The kinds of calls: what a login needs, an upload, and a post.
LOGIN, MEDIA, POSTS = "login", "media", "posts"
WRITES, ALL = (MEDIA, POSTS), (LOGIN, MEDIA, POSTS)
MINUTE = 60.0


@dataclass(frozen=True, slots=True)
class Behaviour:
    """One way to misbehave: in which calls, and with which answer; none where `status` is 0.

    `done`: what was asked for is done all the same. `seconds` is for how long, unless somebody says."""

    name: str
    calls: tuple[str, ...]
    meaning: str
    status: int = 0
    error: str = ""
    description: str = ""
    done: bool = False
    seconds: float | None = None


# The first that applies to a call decides. `slow` has no answer of its own: the others come late, too.
SLOW = Behaviour("slow", WRITES, "answers late")
BEHAVIOURS = (
    SLOW,
    Behaviour("network", ALL, "is there, but closes every connection without an answer", seconds=MINUTE),
    Behaviour(
        "away",
        ALL,
        "answers that it is away",
        503,
        "away",
        "The sandbox is away for a while.",
        seconds=MINUTE,
    ),
    Behaviour(
        "rate_limit",
        WRITES,
        "takes no more calls",
        429,
        "rate_limited",
        "Too many calls. Retry-After says when there may be more.",
        seconds=MINUTE,
    ),
    Behaviour(
        "token_expired",
        WRITES,
        "says that tokens have expired",
        401,
        "invalid_token",
        "The token has expired.",
    ),
    Behaviour("auth", WRITES, "wants people to sign in anew", 401, "login_required", "Sign in again."),
    Behaviour(
        "permission",
        WRITES,
        "says that accounts may not post",
        403,
        "forbidden",
        "This account may not post.",
    ),
    Behaviour("media", (MEDIA,), "refuses media", 422, "media_refused", "This medium is not wanted here."),
    Behaviour("content", (POSTS,), "refuses texts", 422, "text_refused", "This text is not wanted here."),
    Behaviour(
        "duplicate", (POSTS,), "says that it has a post already", 409, "duplicate", "It is here already."
    ),
    Behaviour("platform", WRITES, "fails", 500, "failed", "Something went wrong; nothing was published."),
    Behaviour("drop", (POSTS,), "publishes a post, and closes the connection without an answer", done=True),
    Behaviour("gateway", (POSTS,), "publishes a post, and answers like a broken proxy", 502, done=True),
)
NAMED = {behaviour.name: behaviour for behaviour in BEHAVIOURS}


class Told(NamedTuple):
    """What was told: how (`share` of calls, the `next` calls, the `delay` of slow), and until when."""

    name: str
    value: dict[str, Any]
    until_time: datetime | None

    @property
    def behaviour(self) -> Behaviour:
        """What it is."""
        return NAMED[self.name]


_TOLD = Statement(
    "sandbox.told",
    """
    SELECT name, value, until_time FROM sandbox_behaviour
    WHERE (until_time IS NULL OR until_time > $now)
      AND (value ->> 'next' IS NULL OR (value ->> 'next')::integer > 0)
    """,
    Told._make,
)
_TELL = Command(
    "sandbox.tell",
    """
    INSERT INTO sandbox_behaviour (name, value, until_time) VALUES ($name, $value, $until_time)
    ON CONFLICT (name) DO UPDATE SET value = excluded.value, until_time = excluded.until_time
    """,
)
_SPEND = Statement(
    "sandbox.spend_turn",
    """
    UPDATE sandbox_behaviour
    SET value = jsonb_set(value, '{next}', to_jsonb((value ->> 'next')::integer - 1))
    WHERE name = $name AND (value ->> 'next')::integer > 0
    RETURNING name
    """,
    tuple[str],
)
_RESET = Command("sandbox.reset", B.delete())
_UNTELL = Command("sandbox.untell", B.delete().where(B.name == param("name")))


def told(now: datetime) -> list[Told]:
    """What it was told and still does, in the order of BEHAVIOURS."""
    found = {one.name: one for one in _TOLD.all(now=now)}
    return [found[name] for name in NAMED if name in found]


def tell(behaviour: Behaviour, value: dict[str, Any], seconds: float | None, now: datetime) -> None:
    """Has it do this from now on, in place of what it was told of it before."""
    lasts = seconds or behaviour.seconds
    until = now + timedelta(seconds=lasts) if lasts else None
    _TELL.run(name=behaviour.name, value=jsonb(value), until_time=until)


def reset(name: str | None = None) -> None:
    """Has it behave again, at least in this way."""
    if name is None:
        _RESET.run()
    else:
        _UNTELL.run(name=name)


def applying(call: str, now: datetime) -> list[Told]:
    """How this call is to go: `slow`, if it is, and at most one other."""
    found: list[Told] = []
    for one in told(now):
        if call not in one.behaviour.calls or (found and found[-1].behaviour is not SLOW):
            continue
        if random.random() < one.value.get("share", 1) and _has_turn(one):  # noqa: S311 (no secret)
            found.append(one)
    return found


def _has_turn(one: Told) -> bool:
    return "next" not in one.value or _SPEND.first(name=one.name) is not None
