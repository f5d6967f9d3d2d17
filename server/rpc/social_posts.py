"""SocialPostService: translates between messages and use cases, nothing else."""

from generated.hitchpost.v1 import social_post_service_pb2 as pb
from server.base.identity import Caller, Clock
from server.posts.posts import Posts
from server.publish.rehearsal import Rehearsal
from server.rpc import convert, idempotency, pagination
from server.rpc.convert import optional
from server.rpc.validation import POST_MASK


class SocialPostServicer:
    """See protos/hitchpost/v1/social_post_service.proto."""

    def __init__(self, posts: Posts, rehearsal: Rehearsal, clock: Clock) -> None:
        self._posts = posts
        self._rehearsal = rehearsal
        self._clock = clock

    def CreateSocialPost(
        self, request: pb.CreateSocialPostRequest, caller: Caller
    ) -> pb.CreateSocialPostResponse:
        def perform() -> pb.CreateSocialPostResponse:
            row = self._posts.create(caller, convert.content(request.social_post))
            return pb.CreateSocialPostResponse(social_post=convert.post(row))

        return idempotency.once(caller, request, self._clock(), perform, pb.CreateSocialPostResponse)

    def GetSocialPost(self, request: pb.GetSocialPostRequest, caller: Caller) -> pb.GetSocialPostResponse:
        row = self._posts.get(caller, request.social_post_id)
        return pb.GetSocialPostResponse(social_post=convert.post(row))

    def ListSocialPosts(
        self, request: pb.ListSocialPostsRequest, caller: Caller
    ) -> pb.ListSocialPostsResponse:
        filters = {
            "external_ids": list(request.external_ids),
            "platforms": list(request.platforms),
            "states": list(request.states),
            "social_account_ids": list(request.social_account_ids),
            "scheduled_after": optional(request, "scheduled_after"),
            "scheduled_before": optional(request, "scheduled_before"),
        }
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
        raise NotImplementedError

    def CancelSocialPost(
        self, request: pb.CancelSocialPostRequest, caller: Caller
    ) -> pb.CancelSocialPostResponse:
        raise NotImplementedError

    def RetrySocialPost(
        self, request: pb.RetrySocialPostRequest, caller: Caller
    ) -> pb.RetrySocialPostResponse:
        raise NotImplementedError

    def ResolveSocialPostTarget(
        self, request: pb.ResolveSocialPostTargetRequest, caller: Caller
    ) -> pb.ResolveSocialPostTargetResponse:
        raise NotImplementedError

    def ListSocialPostTargets(
        self, request: pb.ListSocialPostTargetsRequest, caller: Caller
    ) -> pb.ListSocialPostTargetsResponse:
        raise NotImplementedError

    def ValidateSocialPost(
        self, request: pb.ValidateSocialPostRequest, caller: Caller
    ) -> pb.ValidateSocialPostResponse:
        content = convert.content(request.social_post)
        problems = self._rehearsal.problems(caller, content, list(request.platforms))
        return pb.ValidateSocialPostResponse(problems=[problem._asdict() for problem in problems])
