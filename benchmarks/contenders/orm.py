"""What the contenders have in common: SQLAlchemy's ORM on asyncpg, over Hitchpost's own tables."""

import functools
import hashlib
import os
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ARRAY, DateTime, ForeignKey, SmallInteger, Text, make_url, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
from ulid import ULID

KEY_CACHE_SECONDS = 20.0
DRAFT, SCHEDULED, PENDING = 1, 2, 1


class Base(DeclarativeBase):
    """How Python's types are stored."""

    type_annotation_map = {  # noqa: RUF012 (SQLAlchemy's own spelling)
        str: Text,
        datetime: DateTime(timezone=True),
        list[str]: ARRAY(Text),
        dict[str, Any]: JSONB,
        list[dict[str, str]]: JSONB(none_as_null=True),
    }


class ApiKey(Base):
    __tablename__ = "api_key"
    id: Mapped[str] = mapped_column(primary_key=True)
    project_id: Mapped[str]
    hash: Mapped[bytes]
    revoke_time: Mapped[datetime | None]


class Versioned:
    """What accounts and posts have in common."""

    id: Mapped[str] = mapped_column(primary_key=True)
    project_id: Mapped[str]
    external_id: Mapped[str | None]
    state: Mapped[int] = mapped_column(SmallInteger)
    version: Mapped[int]
    create_time: Mapped[datetime]
    update_time: Mapped[datetime]
    etag = property(lambda self: str(self.version))


class SocialAccount(Versioned, Base):
    __tablename__ = "social_account"
    platform: Mapped[int] = mapped_column(SmallInteger)
    platform_user_id: Mapped[str]
    username: Mapped[str]
    display_name: Mapped[str]
    profile_photo_url: Mapped[str]
    scopes: Mapped[list[str]]
    access_token_expire_time: Mapped[datetime | None]
    metadata_: Mapped[dict[str, Any]] = mapped_column("metadata")
    connect_time: Mapped[datetime]


class SocialPostTarget(Base):
    __tablename__ = "social_post_target"
    project_id: Mapped[str]
    social_post_id: Mapped[str] = mapped_column(ForeignKey("social_post.id"), primary_key=True)
    social_account_id: Mapped[str] = mapped_column(ForeignKey("social_account.id"), primary_key=True)
    position: Mapped[int] = mapped_column(SmallInteger)
    state: Mapped[int] = mapped_column(SmallInteger)
    caption: Mapped[str | None]
    media: Mapped[list[dict[str, str]] | None]
    queue_time: Mapped[datetime | None]
    due_time: Mapped[datetime | None]
    account: Mapped[SocialAccount] = relationship()
    platform = property(lambda self: self.account.platform)


class SocialPost(Versioned, Base):
    __tablename__ = "social_post"
    caption: Mapped[str]
    media: Mapped[list[dict[str, str]]]
    scheduled_time: Mapped[datetime | None]
    platform_options: Mapped[dict[str, Any]]
    targets: Mapped[list[SocialPostTarget]] = relationship(order_by=SocialPostTarget.position)
    social_account_ids = property(lambda self: [target.social_account_id for target in self.targets])


@functools.cache
def engine() -> AsyncEngine:
    """The process's connections to BENCH_DATABASE_URL, which is written as libpq has it."""
    url = make_url(os.environ["BENCH_DATABASE_URL"]).set(drivername="postgresql+asyncpg")
    return create_async_engine(url, pool_size=10, max_overflow=0)


@functools.cache
def sessions() -> async_sessionmaker[AsyncSession]:
    """Makes the session of a request."""
    return async_sessionmaker(engine(), expire_on_commit=False)


_seen: dict[bytes, tuple[str, float]] = {}


async def authenticate(key: str) -> str | None:
    """The id of the key's project, or None for an unknown or revoked key."""
    hashed = hashlib.sha256(key.encode()).digest()
    project, expiry = _seen.get(hashed, (None, 0.0))
    if time.monotonic() < expiry:
        return project
    async with sessions()() as session:
        project = await session.scalar(
            select(ApiKey.project_id).where(ApiKey.hash == hashed, ApiKey.revoke_time.is_(None))
        )
    if project is not None:
        _seen[hashed] = (project, time.monotonic() + KEY_CACHE_SECONDS)
    return project


async def get_account(session: AsyncSession, project: str, account_id: str) -> SocialAccount | None:
    """One account of the project."""
    return await session.scalar(
        select(SocialAccount).where(SocialAccount.id == account_id, SocialAccount.project_id == project)
    )


async def list_accounts(
    session: AsyncSession, project: str, external_ids: Sequence[str], after: str, limit: int
) -> Sequence[SocialAccount]:
    """Accounts of these owners, or of all when none is named, newest first; `after` is the last one seen."""
    query = select(SocialAccount).where(SocialAccount.project_id == project)
    if external_ids:
        query = query.where(SocialAccount.external_id.in_(external_ids))
    if after:
        query = query.where(SocialAccount.id < after)
    return (await session.scalars(query.order_by(SocialAccount.id.desc()).limit(limit))).all()


async def create_post(session: AsyncSession, project: str, ids: Sequence[str], post: SocialPost) -> None:
    """Stores what the caller said of a post, for these accounts. Raises LookupError for an unknown one."""
    now = datetime.now(UTC)
    query = select(SocialAccount).where(SocialAccount.id.in_(ids), SocialAccount.project_id == project)
    async with session.begin():
        accounts = {account.id: account for account in await session.scalars(query)}
        missing = set(ids) - accounts.keys()
        if missing:
            raise LookupError(f"social account {min(missing)} not found")
        post.id = f"sp_{ULID.from_datetime(now)}"
        post.project_id = project
        post.state = SCHEDULED if post.scheduled_time else DRAFT
        post.platform_options = {}
        post.version = 1
        post.create_time = post.update_time = now
        post.targets = [
            SocialPostTarget(
                project_id=project,
                account=accounts[account_id],
                position=position,
                state=PENDING,
                queue_time=post.scheduled_time,
                due_time=post.scheduled_time,
            )
            for position, account_id in enumerate(ids)
        ]
        session.add(post)
