"""A JSON API as it is usually written in Python today: FastAPI, Pydantic and SQLAlchemy under uvicorn."""

import argparse
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated, Any

import uvicorn
from fastapi import Depends, FastAPI, HTTPException, Query
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncSession

from benchmarks.contenders import orm

ExternalId = Annotated[str, Field(min_length=1, max_length=255)]


class Row(BaseModel):
    """Read from an ORM object."""

    model_config = ConfigDict(from_attributes=True)


class Versioned(Row):
    """What accounts and posts have in common."""

    id: str
    external_id: str | None
    state: int
    etag: str
    create_time: datetime
    update_time: datetime


class SocialAccount(Versioned):
    platform: int
    platform_user_id: str
    username: str
    display_name: str
    profile_photo_url: str
    scopes: list[str]
    access_token_expire_time: datetime | None
    metadata: dict[str, str] = Field(validation_alias="metadata_")
    connect_time: datetime


class SocialAccountPage(BaseModel):
    social_accounts: list[SocialAccount]
    next_page_token: str


class Media(BaseModel):
    url: str
    alt_text: str = ""


class NewSocialPost(BaseModel):
    external_id: ExternalId | None = None
    caption: str
    social_account_ids: list[str] = Field(min_length=1, max_length=100)
    scheduled_time: AwareDatetime | None = None
    media: list[Media] = Field(default_factory=list)


class SocialPostTarget(Row):
    social_account_id: str
    platform: int
    state: int
    social_post_id: str
    due_time: datetime | None


class SocialPost(Versioned):
    caption: str
    social_account_ids: list[str]
    media: list[Media]
    scheduled_time: datetime | None
    account_overrides: list[dict[str, Any]] = Field(default_factory=list)
    platform_options: dict[str, Any]
    targets: list[SocialPostTarget]


async def project_of_key(credentials: Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())]) -> str:
    """The project that the request's API key belongs to."""
    project = await orm.authenticate(credentials.credentials)
    if project is None:
        raise HTTPException(401, "API key is not valid")
    return project


async def request_session() -> AsyncIterator[AsyncSession]:
    """The request's session."""
    async with orm.sessions()() as session:
        yield session


Project = Annotated[str, Depends(project_of_key)]
Session = Annotated[AsyncSession, Depends(request_session)]

app = FastAPI()


@app.get("/v1/social-accounts")
async def list_social_accounts(
    project: Project,
    session: Session,
    external_id: Annotated[list[ExternalId], Query(default_factory=list)],
    page_size: Annotated[int, Query(ge=1, le=1000)] = 50,
    page_token: str = "",
) -> SocialAccountPage:
    """A page of accounts, newest first."""
    rows = await orm.list_accounts(session, project, external_id, page_token, page_size + 1)
    return SocialAccountPage(
        social_accounts=[SocialAccount.model_validate(row) for row in rows[:page_size]],
        next_page_token=rows[page_size - 1].id if len(rows) > page_size else "",
    )


@app.get("/v1/social-accounts/{account_id}")
async def get_social_account(project: Project, session: Session, account_id: str) -> SocialAccount:
    """One account."""
    row = await orm.get_account(session, project, account_id)
    if row is None:
        raise HTTPException(404, "social account not found")
    return SocialAccount.model_validate(row)


@app.post("/v1/social-posts")
async def create_social_post(project: Project, session: Session, post: NewSocialPost) -> SocialPost:
    """Stores a post."""
    row = orm.SocialPost(
        external_id=post.external_id,
        caption=post.caption,
        media=[media.model_dump() for media in post.media],
        scheduled_time=post.scheduled_time,
    )
    try:
        await orm.create_post(session, project, post.social_account_ids, row)
    except LookupError as error:
        raise HTTPException(404, str(error)) from error
    return SocialPost.model_validate(row)


def main() -> None:
    """Serves until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--processes", type=int, default=1)
    arguments = parser.parse_args()
    uvicorn.run(
        "benchmarks.contenders.fastapi_app:app",
        host="127.0.0.1",
        port=arguments.port,
        workers=arguments.processes,
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
        timeout_graceful_shutdown=1,
    )


if __name__ == "__main__":
    main()
