"""The same contract as it is usually written in asyncio: grpc.aio and SQLAlchemy, a process per core."""

import argparse
import asyncio
import multiprocessing
import signal
from datetime import UTC

import grpc
import uvloop

from benchmarks.contenders import orm
from generated.hitchpost.v1 import social_account_service_pb2 as accounts_pb
from generated.hitchpost.v1 import social_account_service_pb2_grpc as accounts_grpc
from generated.hitchpost.v1 import social_post_service_pb2 as posts_pb
from generated.hitchpost.v1 import social_post_service_pb2_grpc as posts_grpc

DRAIN_SECONDS = 0.5


def account_message(row: orm.SocialAccount) -> accounts_pb.SocialAccount:
    """An account as the API shows it."""
    return accounts_pb.SocialAccount(
        id=row.id,
        platform=row.platform,
        platform_user_id=row.platform_user_id,
        username=row.username,
        display_name=row.display_name,
        profile_photo_url=row.profile_photo_url,
        external_id=row.external_id,
        state=row.state,
        scopes=row.scopes,
        access_token_expire_time=row.access_token_expire_time,
        metadata=row.metadata_,
        etag=row.etag,
        create_time=row.create_time,
        update_time=row.update_time,
        connect_time=row.connect_time,
    )


def post_message(row: orm.SocialPost) -> posts_pb.SocialPost:
    """A post as the API shows it."""
    return posts_pb.SocialPost(
        id=row.id,
        external_id=row.external_id,
        caption=row.caption,
        social_account_ids=row.social_account_ids,
        media=[posts_pb.Media(**media) for media in row.media],
        scheduled_time=row.scheduled_time,
        state=row.state,
        targets=[
            posts_pb.SocialPostTarget(
                social_account_id=target.social_account_id,
                platform=target.platform,
                state=target.state,
                social_post_id=row.id,
                due_time=target.due_time,
            )
            for target in row.targets
        ],
        etag=row.etag,
        create_time=row.create_time,
        update_time=row.update_time,
    )


async def project_of_key(context: grpc.aio.ServicerContext) -> str:
    """The project that the call's API key belongs to; ends the call when there is none."""
    scheme, _, key = dict(context.invocation_metadata()).get("authorization", "").partition(" ")
    project = await orm.authenticate(key) if scheme.lower() == "bearer" else None
    if project is None:
        await context.abort(grpc.StatusCode.UNAUTHENTICATED, "API key is not valid")
    return project


class SocialAccounts(accounts_grpc.SocialAccountServiceServicer):
    """See hitchpost.v1.SocialAccountService."""

    async def GetSocialAccount(
        self, request: accounts_pb.GetSocialAccountRequest, context: grpc.aio.ServicerContext
    ) -> accounts_pb.GetSocialAccountResponse:
        project = await project_of_key(context)
        async with orm.sessions()() as session:
            row = await orm.get_account(session, project, request.social_account_id)
        if row is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, "social account not found")
        return accounts_pb.GetSocialAccountResponse(social_account=account_message(row))

    async def ListSocialAccounts(
        self, request: accounts_pb.ListSocialAccountsRequest, context: grpc.aio.ServicerContext
    ) -> accounts_pb.ListSocialAccountsResponse:
        project = await project_of_key(context)
        size = min(request.page_size, 1000) or 50
        async with orm.sessions()() as session:
            rows = await orm.list_accounts(
                session, project, request.external_ids, request.page_token, size + 1
            )
        return accounts_pb.ListSocialAccountsResponse(
            social_accounts=[account_message(row) for row in rows[:size]],
            next_page_token=rows[size - 1].id if len(rows) > size else "",
        )


class SocialPosts(posts_grpc.SocialPostServiceServicer):
    """See hitchpost.v1.SocialPostService."""

    async def CreateSocialPost(
        self, request: posts_pb.CreateSocialPostRequest, context: grpc.aio.ServicerContext
    ) -> posts_pb.CreateSocialPostResponse:
        project = await project_of_key(context)
        post = request.social_post
        scheduled = post.HasField("scheduled_time")
        row = orm.SocialPost(
            external_id=post.external_id if post.HasField("external_id") else None,
            caption=post.caption,
            media=[{"url": media.url, "alt_text": media.alt_text} for media in post.media],
            scheduled_time=post.scheduled_time.ToDatetime(tzinfo=UTC) if scheduled else None,
        )
        try:
            async with orm.sessions()() as session:
                await orm.create_post(session, project, post.social_account_ids, row)
        except LookupError as error:
            await context.abort(grpc.StatusCode.NOT_FOUND, str(error))
        return posts_pb.CreateSocialPostResponse(social_post=post_message(row))


async def serve(port: int) -> None:
    """Serves until SIGTERM, or until the parent process is gone."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    parent = multiprocessing.parent_process()
    if parent is not None:
        loop.add_reader(parent.sentinel, stop.set)
    server = grpc.aio.server(options=[("grpc.so_reuseport", 1)])
    accounts_grpc.add_SocialAccountServiceServicer_to_server(SocialAccounts(), server)
    posts_grpc.add_SocialPostServiceServicer_to_server(SocialPosts(), server)
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await stop.wait()
    await server.stop(DRAIN_SECONDS)
    await orm.engine().dispose()


def process(port: int) -> None:
    """One of the processes that share the port."""
    uvloop.run(serve(port))


def main() -> None:
    """Runs the processes until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--processes", type=int, default=1)
    arguments = parser.parse_args()
    spawn = multiprocessing.get_context("spawn")
    children = [spawn.Process(target=process, args=(arguments.port,)) for _ in range(arguments.processes)]
    for child in children:
        child.start()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: [child.terminate() for child in children])
    for child in children:
        child.join()


if __name__ == "__main__":
    main()
