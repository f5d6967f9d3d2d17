"""SocialPostService: translates between messages and use cases, nothing else."""

import grpc

from generated.hitchpost.v1 import social_post_service_pb2 as pb
from generated.hitchpost.v1 import social_post_service_pb2_grpc as pb_grpc
from server import convert, idempotency, pagination, post_lists, posts
from server.convert import optional
from server.identity import Clock
from server.interceptors import caller
from server.posts import Posts
from server.validation import POST_MASK


class SocialPostServicer(pb_grpc.SocialPostServiceServicer):
    """See protos/hitchpost/v1/social_post_service.proto."""

    def __init__(self, posts: Posts, clock: Clock) -> None:
        self._posts = posts
        self._clock = clock

    def CreateSocialPost(
        self, request: pb.CreateSocialPostRequest, context: grpc.ServicerContext
    ) -> pb.CreateSocialPostResponse:
        def perform() -> pb.CreateSocialPostResponse:
            row = self._posts.create(caller(), convert.content(request.social_post))
            return pb.CreateSocialPostResponse(social_post=convert.post(row))

        return idempotency.once(caller(), request, self._clock(), perform, pb.CreateSocialPostResponse)

    def GetSocialPost(
        self, request: pb.GetSocialPostRequest, context: grpc.ServicerContext
    ) -> pb.GetSocialPostResponse:
        row = posts.get(caller(), request.social_post_id)
        return pb.GetSocialPostResponse(social_post=convert.post(row))

    def ListSocialPosts(
        self, request: pb.ListSocialPostsRequest, context: grpc.ServicerContext
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
            caller(), request, lambda after, size: post_lists.list_page(caller(), filters, after, size)
        )
        return pb.ListSocialPostsResponse(
            social_posts=[convert.post(row) for row in page.rows], next_page_token=page.next_token
        )

    def UpdateSocialPost(
        self, request: pb.UpdateSocialPostRequest, context: grpc.ServicerContext
    ) -> pb.UpdateSocialPostResponse:
        post = request.social_post
        paths = convert.updated_paths(post, request.update_mask.paths, POST_MASK)
        row = self._posts.update(caller(), post.id, post.etag, convert.post_changes(post, paths))
        return pb.UpdateSocialPostResponse(social_post=convert.post(row))

    def DeleteSocialPost(
        self, request: pb.DeleteSocialPostRequest, context: grpc.ServicerContext
    ) -> pb.DeleteSocialPostResponse:
        self._posts.delete(caller(), request.social_post_id, request.etag)
        return pb.DeleteSocialPostResponse()
