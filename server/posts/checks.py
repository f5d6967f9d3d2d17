"""What is checked before a post is accepted, beyond the limits of its single fields."""

from datetime import datetime

from server.base import errors, sizes
from server.posts.rows import Content


def check_content(content: Content, *, needs_account: bool = True) -> None:
    """What concerns several fields at once, and so holds for the whole post after an update too.

    Raises InvalidArgument.
    """
    if not content.caption and not content.media:
        raise errors.invalid("social_post.caption", "must not be empty when there is no media")
    if needs_account and not content.social_account_ids:
        raise errors.invalid("social_post.social_account_ids", "must name at least one account")
    if not content.overrides.keys() <= set(content.social_account_ids):
        raise errors.invalid("social_post.account_overrides", "may only name accounts of social_account_ids")
    if any(caption == "" and not (media or content.media) for caption, media in content.overrides.values()):
        raise errors.invalid("social_post.account_overrides", "must leave each account a caption or media")
    for index, follow_up in enumerate(content.follow_ups):
        if not follow_up["caption"] and not follow_up["media"]:
            field = f"social_post.follow_ups[{index}].caption"
            raise errors.invalid(field, "must not be empty when there is no media")
    if content.overrides or content.follow_ups:
        _check_size(content)


def _check_size(content: Content) -> None:
    """With neither overrides nor follow-ups no post is too large: the limits of its fields see to that."""
    follow_ups = [(follow_up["caption"], follow_up["media"]) for follow_up in content.follow_ups]
    size = sizes.text_bytes([(content.caption, content.media), *content.overrides.values(), *follow_ups])
    if size > sizes.POST_BYTES:
        raise errors.invalid(
            "social_post",
            f"has {size:,} bytes of captions, addresses and alt texts, those of account_overrides and of "
            f"follow_ups included; must have at most {sizes.POST_BYTES:,}",
        )


def check_time(content: Content, now: datetime) -> None:
    """Raises InvalidArgument for a scheduled_time that is not in the future."""
    if content.scheduled_time is not None and content.scheduled_time <= now:
        raise errors.invalid("social_post.scheduled_time", "must be in the future")
