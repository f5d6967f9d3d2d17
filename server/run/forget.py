"""`hitchpost accounts forget`: what each room has of an owner, erased in the order that the tables need."""

import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import NamedTuple

from server.accounts import forget as accounts
from server.base.errors import ConcurrentWrite, SocialAccountHasPosts
from server.base.identity import Clock
from server.posts import forget as posts
from server.projects import owned_apps
from server.projects.projects import CommandError
from server.projects.rows import ProjectRow
from server.rpc import kept_answers

# How often what is left is looked at again, because a call held or made it meanwhile, and how long after.
ROUNDS = 20
PAUSE_SECONDS = 0.25


class Known(NamedTuple):
    """How much there is of an owner."""

    owner: str
    project: str
    accounts: int
    attempts: int
    apps: int
    posts: posts.Concerned

    @property
    def steps(self) -> int:
        """How many accounts and posts are erased or changed."""
        return self.accounts + self.posts.erased + self.posts.changed

    def __str__(self) -> str:
        return (
            f"Of {self.owner!r} in project {self.project!r} this erases for good:\n"
            f"  {self.accounts:,} accounts with their tokens, which the platforms are asked to revoke\n"
            f"  {self.attempts:,} attempts to connect, and what others' attempts said of the owner\n"
            f"  {self.apps:,} apps of platforms that are the owner's own\n"
            f"  {self.posts.erased:,} posts that name no other account\n"
            f"  the accounts' part of {self.posts.changed:,} posts that name accounts of others, too\n"
            "  the owner's name in the audit log, and the answers that are kept for repeated requests\n"
            f"{self.posts.tagged:,} posts to accounts of others have this text as their tag, and stay."
        )


def known(project: ProjectRow, owner: str) -> Known:
    """What forget would erase."""
    owned, attempts = accounts.count(project.id, owner)
    apps = owned_apps.count(project.id, owner)
    return Known(owner, project.name, owned, attempts, apps, posts.count(project.id, owner))


def forget(project: ProjectRow, owner: str, clock: Clock, seen: Callable[[int], None]) -> None:
    """Erases all that is stored of the owner; `seen` hears of each batch how many accounts or posts it had.

    Raises CommandError when calls keep on holding or making accounts of the owner, or the owner's apps are
    still needed to revoke tokens; what was erased stays so.
    """
    posts.analyze()
    for _ in range(ROUNDS):
        _erase_once(project.id, owner, clock, seen)
        if accounts.count(project.id, owner) == (0, 0):
            break
        time.sleep(PAUSE_SECONDS)
    else:
        raise CommandError(
            f"accounts of {owner!r} are in use, or connected anew: stop that, and run it again"
        )
    for _ in range(ROUNDS):
        owned_apps.erase_apps(project.id, owner, accounts.apps_in_use(project.id))
        if not owned_apps.count(project.id, owner):
            return
        time.sleep(PAUSE_SECONDS)
    raise CommandError(
        f"apps of {owner!r} are needed until tokens are revoked, for a day at most: run it again"
    )


def _erase_once(project_id: str, owner: str, clock: Clock, seen: Callable[[int], None]) -> None:
    accounts.erase_name(project_id, owner)
    accounts.erase_attempts(project_id, owner)
    kept_answers.erase_answers(project_id, owner, partial(accounts.of_owner, project_id, owner))
    while erased := posts.erase_posts(project_id, owner, clock()):
        seen(erased)
    # As far as no call holds them, and none has just made a post that names one.
    with suppress(SocialAccountHasPosts, ConcurrentWrite):
        while erased := accounts.erase_accounts(project_id, owner, clock()):
            seen(erased)
