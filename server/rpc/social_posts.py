"""SocialPostService: translates between messages and use cases, nothing else."""

from collections.abc import Callable
from typing import Any

from google.protobuf.message import Message

from generated.hitchpost.v1 import social_post_service_pb2 as pb
from server.base.identity import Caller, Clock
from server.posts.dispatch import Dispatch, Resolution
from server.posts.posts import Posts
from server.posts.rows import PostRow
from server.publish.rehearsal import Rehearsal
from server.rpc import convert, idempotency, pagination
from server.rpc.convert import optional
from server.rpc.idempotency import Answer
from server.rpc.validation import POST_MASK


class SocialPostServicer:
    """See protos/hitchpost/v1/social_post_service.proto."""

    def __init__(self, posts: Posts, dispatch: Dispatch, rehearsal: Rehearsal, clock: Clock) -> None:
        self._posts = posts
        self._dispatch = dispatch
        self._rehearsal = rehearsal
        self._clock = clock

    def CreateSocialPost(
        self, request: pb.CreateSocialPostRequest, caller: Caller
    ) -> pb.CreateSocialPostResponse:
        return self._once(
            caller,
            request,
            lambda: self._posts.create(caller, convert.content(request.social_post)),
            pb.CreateSocialPostResponse,
        )

    def GetSocialPost(self, request: pb.GetSocialPostRequest, caller: Caller) -> pb.GetSocialPostResponse:
        row = self._posts.get(caller, request.social_post_id)
        return pb.GetSocialPostResponse(social_post=convert.post(row))

    def ListSocialPosts(
        self, request: pb.ListSocialPostsRequest, caller: Caller
    ) -> pb.ListSocialPostsResponse:
        filters = _filters(request)
        page = pagination.page(
            caller, request, lambda after, size: self._posts.list_page(caller, filters, after, size)
        )
        return pb.ListSocialPostsResponse(
            social_posts=[convert.post(row) for row in page.rows], next_page_token=page.next_token
        )

    def UpdateSocialPost(
        self, request: pb.UpdateSocialPostRequest, caller: Caller
    ) -> pb.UpdateSocialPostResponse:
        post = request.social_post
        paths = convert.updated_paths(post, request.update_mask.paths, POST_MASK)
        row = self._posts.update(caller, post.id, post.etag, convert.post_changes(post, paths))
        return pb.UpdateSocialPostResponse(social_post=convert.post(row))

    def DeleteSocialPost(
        self, request: pb.DeleteSocialPostRequest, caller: Caller
    ) -> pb.DeleteSocialPostResponse:
        self._posts.delete(caller, request.social_post_id, request.etag)
        return pb.DeleteSocialPostResponse()

    def PublishSocialPost(
        self, request: pb.PublishSocialPostRequest, caller: Caller
    ) -> pb.PublishSocialPostResponse:
        return self._once(
            caller,
            request,
            lambda: self._dispatch.publish(caller, request.social_post_id, request.etag),
            pb.PublishSocialPostResponse,
        )

    def CancelSocialPost(
        self, request: pb.CancelSocialPostRequest, caller: Caller
    ) -> pb.CancelSocialPostResponse:
        return self._once(
            caller,
            request,
            lambda: self._dispatch.cancel(caller, request.social_post_id, request.etag),
            pb.CancelSocialPostResponse,
        )

    def RetrySocialPost(
        self, request: pb.RetrySocialPostRequest, caller: Caller
    ) -> pb.RetrySocialPostResponse:
        ids = list(request.social_account_ids)
        return self._once(
            caller,
            request,
            lambda: self._dispatch.retry(caller, request.social_post_id, ids, request.etag),
            pb.RetrySocialPostResponse,
        )

    def ResolveSocialPostTarget(
        self, request: pb.ResolveSocialPostTargetRequest, caller: Caller
    ) -> pb.ResolveSocialPostTargetResponse:
        resolution = Resolution(
            request.resolution == pb.SOCIAL_POST_TARGET_RESOLUTION_PUBLISHED,
            request.platform_post_id or None,
            request.platform_post_url or None,
        )
        return self._once(
            caller,
            request,
            lambda: self._dispatch.resolve(
                caller, request.social_post_id, request.social_account_id, resolution, request.etag
            ),
            pb.ResolveSocialPostTargetResponse,
        )

    def ListSocialPostTargets(
        self, request: pb.ListSocialPostTargetsRequest, caller: Caller
    ) -> pb.ListSocialPostTargetsResponse:
        filters = _filters(request)
        page = pagination.page(
            caller, request, lambda after, size: self._posts.list_targets(caller, filters, after, size)
        )
        return pb.ListSocialPostTargetsResponse(
            social_post_targets=[convert.target(*row) for row in page.rows],
            next_page_token=page.next_token,
        )

    def ValidateSocialPost(
        self, request: pb.ValidateSocialPostRequest, caller: Caller
    ) -> pb.ValidateSocialPostResponse:
        content = convert.content(request.social_post)
        problems = self._rehearsal.problems(caller, content, list(request.platforms))
        return pb.ValidateSocialPostResponse(problems=[problem._asdict() for problem in problems])

    def _once(
        self, caller: Caller, request: Message, change: Callable[[], PostRow], kind: type[Answer]
    ) -> Answer:
        """The answer of a method that changes a post, once for each request_id."""

        def perform() -> Answer:
            return kind(social_post=convert.post(change()))

        return idempotency.once(caller, request, self._clock(), perform, kind)


def _filters(request: pb.ListSocialPostsRequest | pb.ListSocialPostTargetsRequest) -> dict[str, Any]:
    return {
        "external_ids": list(request.external_ids),
        "platforms": list(request.platforms),
        "states": list(request.states),
        "social_account_ids": list(request.social_account_ids),
        "scheduled_after": optional(request, "scheduled_after"),
        "scheduled_before": optional(request, "scheduled_before"),
    }
