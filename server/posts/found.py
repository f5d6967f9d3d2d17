"""A post that a call names, if the call may."""

from generated.hitchpost.v1 import social_post_service_pb2 as pb
from server.base import errors, sizes
from server.base.identity import Caller
from server.posts import statements
from server.posts.rows import PostRow


def read(caller: Caller, post_id: str) -> PostRow:
    """The post, however large. Raises SocialPostNotFound, OwnerMismatch."""
    post = statements.GET.first(project=caller.project_id, id=post_id)
    if post is None:
        raise errors.SocialPostNotFound(id=post_id)
    if caller.owner is not None and any(target.owner != caller.owner for target in post.targets):
        raise errors.OwnerMismatch
    return post


def readable(post: PostRow) -> PostRow:
    """The same post. Raises AnswerTooLarge when an answer has no room for it."""
    overrides = [(target.caption, target.media) for target in post.targets if target.caption or target.media]
    if overrides:
        size = sizes.text_bytes([(post.caption, post.media), *overrides])
        if size > sizes.READABLE_POST_BYTES:
            raise errors.AnswerTooLarge(bytes=str(size))
    return post


def lock(caller: Caller, post_id: str, etag: str) -> PostRow:
    """The post, which nobody changes, nor one of its targets' states, until the transaction ends.

    Raises EtagMismatch, and as read.
    """
    statements.LOCK.all(project=caller.project_id, id=post_id)
    post = read(caller, post_id)
    if etag not in ("", post.etag):
        raise errors.EtagMismatch
    return post


def state_name(state: int) -> str:
    """A post's state as metadata of errors have it: DRAFT."""
    return pb.SocialPostState.Name(state).removeprefix("SOCIAL_POST_STATE_")


def target_state_name(state: int) -> str:
    """The same of a target's: UNCONFIRMED."""
    return pb.SocialPostTargetState.Name(state).removeprefix("SOCIAL_POST_TARGET_STATE_")
