import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import field_mask_pb2 as _field_mask_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from . import platform_pb2 as _platform_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SocialPostState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SOCIAL_POST_STATE_UNSPECIFIED: _ClassVar[SocialPostState]
    SOCIAL_POST_STATE_DRAFT: _ClassVar[SocialPostState]
    SOCIAL_POST_STATE_SCHEDULED: _ClassVar[SocialPostState]
    SOCIAL_POST_STATE_PUBLISHING: _ClassVar[SocialPostState]
    SOCIAL_POST_STATE_PUBLISHED: _ClassVar[SocialPostState]
    SOCIAL_POST_STATE_PARTIALLY_PUBLISHED: _ClassVar[SocialPostState]
    SOCIAL_POST_STATE_FAILED: _ClassVar[SocialPostState]
    SOCIAL_POST_STATE_CANCELLED: _ClassVar[SocialPostState]
    SOCIAL_POST_STATE_UNCONFIRMED: _ClassVar[SocialPostState]

class SocialPostTargetState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SOCIAL_POST_TARGET_STATE_UNSPECIFIED: _ClassVar[SocialPostTargetState]
    SOCIAL_POST_TARGET_STATE_PENDING: _ClassVar[SocialPostTargetState]
    SOCIAL_POST_TARGET_STATE_SENDING: _ClassVar[SocialPostTargetState]
    SOCIAL_POST_TARGET_STATE_PUBLISHED: _ClassVar[SocialPostTargetState]
    SOCIAL_POST_TARGET_STATE_FAILED: _ClassVar[SocialPostTargetState]
    SOCIAL_POST_TARGET_STATE_UNCONFIRMED: _ClassVar[SocialPostTargetState]
    SOCIAL_POST_TARGET_STATE_CANCELLED: _ClassVar[SocialPostTargetState]

class PublishErrorCategory(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PUBLISH_ERROR_CATEGORY_UNSPECIFIED: _ClassVar[PublishErrorCategory]
    PUBLISH_ERROR_CATEGORY_AUTH: _ClassVar[PublishErrorCategory]
    PUBLISH_ERROR_CATEGORY_PERMISSION: _ClassVar[PublishErrorCategory]
    PUBLISH_ERROR_CATEGORY_CONTENT: _ClassVar[PublishErrorCategory]
    PUBLISH_ERROR_CATEGORY_DUPLICATE: _ClassVar[PublishErrorCategory]
    PUBLISH_ERROR_CATEGORY_MEDIA: _ClassVar[PublishErrorCategory]
    PUBLISH_ERROR_CATEGORY_RATE_LIMIT: _ClassVar[PublishErrorCategory]
    PUBLISH_ERROR_CATEGORY_PLATFORM: _ClassVar[PublishErrorCategory]
    PUBLISH_ERROR_CATEGORY_NETWORK: _ClassVar[PublishErrorCategory]

class FollowUpPlace(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FOLLOW_UP_PLACE_UNSPECIFIED: _ClassVar[FollowUpPlace]
    FOLLOW_UP_PLACE_THREAD: _ClassVar[FollowUpPlace]
    FOLLOW_UP_PLACE_COMMENT: _ClassVar[FollowUpPlace]

class MastodonVisibility(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MASTODON_VISIBILITY_UNSPECIFIED: _ClassVar[MastodonVisibility]
    MASTODON_VISIBILITY_PUBLIC: _ClassVar[MastodonVisibility]
    MASTODON_VISIBILITY_UNLISTED: _ClassVar[MastodonVisibility]
    MASTODON_VISIBILITY_PRIVATE: _ClassVar[MastodonVisibility]
    MASTODON_VISIBILITY_DIRECT: _ClassVar[MastodonVisibility]

class SocialPostTargetResolution(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SOCIAL_POST_TARGET_RESOLUTION_UNSPECIFIED: _ClassVar[SocialPostTargetResolution]
    SOCIAL_POST_TARGET_RESOLUTION_PUBLISHED: _ClassVar[SocialPostTargetResolution]
    SOCIAL_POST_TARGET_RESOLUTION_NOT_PUBLISHED: _ClassVar[SocialPostTargetResolution]

class SandboxVisibility(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SANDBOX_VISIBILITY_UNSPECIFIED: _ClassVar[SandboxVisibility]
    SANDBOX_VISIBILITY_PUBLIC: _ClassVar[SandboxVisibility]
    SANDBOX_VISIBILITY_UNLISTED: _ClassVar[SandboxVisibility]
SOCIAL_POST_STATE_UNSPECIFIED: SocialPostState
SOCIAL_POST_STATE_DRAFT: SocialPostState
SOCIAL_POST_STATE_SCHEDULED: SocialPostState
SOCIAL_POST_STATE_PUBLISHING: SocialPostState
SOCIAL_POST_STATE_PUBLISHED: SocialPostState
SOCIAL_POST_STATE_PARTIALLY_PUBLISHED: SocialPostState
SOCIAL_POST_STATE_FAILED: SocialPostState
SOCIAL_POST_STATE_CANCELLED: SocialPostState
SOCIAL_POST_STATE_UNCONFIRMED: SocialPostState
SOCIAL_POST_TARGET_STATE_UNSPECIFIED: SocialPostTargetState
SOCIAL_POST_TARGET_STATE_PENDING: SocialPostTargetState
SOCIAL_POST_TARGET_STATE_SENDING: SocialPostTargetState
SOCIAL_POST_TARGET_STATE_PUBLISHED: SocialPostTargetState
SOCIAL_POST_TARGET_STATE_FAILED: SocialPostTargetState
SOCIAL_POST_TARGET_STATE_UNCONFIRMED: SocialPostTargetState
SOCIAL_POST_TARGET_STATE_CANCELLED: SocialPostTargetState
PUBLISH_ERROR_CATEGORY_UNSPECIFIED: PublishErrorCategory
PUBLISH_ERROR_CATEGORY_AUTH: PublishErrorCategory
PUBLISH_ERROR_CATEGORY_PERMISSION: PublishErrorCategory
PUBLISH_ERROR_CATEGORY_CONTENT: PublishErrorCategory
PUBLISH_ERROR_CATEGORY_DUPLICATE: PublishErrorCategory
PUBLISH_ERROR_CATEGORY_MEDIA: PublishErrorCategory
PUBLISH_ERROR_CATEGORY_RATE_LIMIT: PublishErrorCategory
PUBLISH_ERROR_CATEGORY_PLATFORM: PublishErrorCategory
PUBLISH_ERROR_CATEGORY_NETWORK: PublishErrorCategory
FOLLOW_UP_PLACE_UNSPECIFIED: FollowUpPlace
FOLLOW_UP_PLACE_THREAD: FollowUpPlace
FOLLOW_UP_PLACE_COMMENT: FollowUpPlace
MASTODON_VISIBILITY_UNSPECIFIED: MastodonVisibility
MASTODON_VISIBILITY_PUBLIC: MastodonVisibility
MASTODON_VISIBILITY_UNLISTED: MastodonVisibility
MASTODON_VISIBILITY_PRIVATE: MastodonVisibility
MASTODON_VISIBILITY_DIRECT: MastodonVisibility
SOCIAL_POST_TARGET_RESOLUTION_UNSPECIFIED: SocialPostTargetResolution
SOCIAL_POST_TARGET_RESOLUTION_PUBLISHED: SocialPostTargetResolution
SOCIAL_POST_TARGET_RESOLUTION_NOT_PUBLISHED: SocialPostTargetResolution
SANDBOX_VISIBILITY_UNSPECIFIED: SandboxVisibility
SANDBOX_VISIBILITY_PUBLIC: SandboxVisibility
SANDBOX_VISIBILITY_UNLISTED: SandboxVisibility

class SocialPost(_message.Message):
    __slots__ = ("id", "external_id", "caption", "social_account_ids", "media", "scheduled_time", "state", "account_overrides", "platform_options", "targets", "etag", "create_time", "update_time", "follow_ups")
    ID_FIELD_NUMBER: _ClassVar[int]
    EXTERNAL_ID_FIELD_NUMBER: _ClassVar[int]
    CAPTION_FIELD_NUMBER: _ClassVar[int]
    SOCIAL_ACCOUNT_IDS_FIELD_NUMBER: _ClassVar[int]
    MEDIA_FIELD_NUMBER: _ClassVar[int]
    SCHEDULED_TIME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_OVERRIDES_FIELD_NUMBER: _ClassVar[int]
    PLATFORM_OPTIONS_FIELD_NUMBER: _ClassVar[int]
    TARGETS_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    FOLLOW_UPS_FIELD_NUMBER: _ClassVar[int]
    id: str
    external_id: str
    caption: str
    social_account_ids: _containers.RepeatedScalarFieldContainer[str]
    media: _containers.RepeatedCompositeFieldContainer[Media]
    scheduled_time: _timestamp_pb2.Timestamp
    state: SocialPostState
    account_overrides: _containers.RepeatedCompositeFieldContainer[AccountOverride]
    platform_options: PostPlatformOptions
    targets: _containers.RepeatedCompositeFieldContainer[SocialPostTarget]
    etag: str
    create_time: _timestamp_pb2.Timestamp
    update_time: _timestamp_pb2.Timestamp
    follow_ups: _containers.RepeatedCompositeFieldContainer[FollowUp]
    def __init__(self, id: _Optional[str] = ..., external_id: _Optional[str] = ..., caption: _Optional[str] = ..., social_account_ids: _Optional[_Iterable[str]] = ..., media: _Optional[_Iterable[_Union[Media, _Mapping]]] = ..., scheduled_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., state: _Optional[_Union[SocialPostState, str]] = ..., account_overrides: _Optional[_Iterable[_Union[AccountOverride, _Mapping]]] = ..., platform_options: _Optional[_Union[PostPlatformOptions, _Mapping]] = ..., targets: _Optional[_Iterable[_Union[SocialPostTarget, _Mapping]]] = ..., etag: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., follow_ups: _Optional[_Iterable[_Union[FollowUp, _Mapping]]] = ...) -> None: ...

class FollowUp(_message.Message):
    __slots__ = ("caption", "media", "delay", "place")
    CAPTION_FIELD_NUMBER: _ClassVar[int]
    MEDIA_FIELD_NUMBER: _ClassVar[int]
    DELAY_FIELD_NUMBER: _ClassVar[int]
    PLACE_FIELD_NUMBER: _ClassVar[int]
    caption: str
    media: _containers.RepeatedCompositeFieldContainer[Media]
    delay: _duration_pb2.Duration
    place: FollowUpPlace
    def __init__(self, caption: _Optional[str] = ..., media: _Optional[_Iterable[_Union[Media, _Mapping]]] = ..., delay: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., place: _Optional[_Union[FollowUpPlace, str]] = ...) -> None: ...

class Media(_message.Message):
    __slots__ = ("url", "alt_text")
    URL_FIELD_NUMBER: _ClassVar[int]
    ALT_TEXT_FIELD_NUMBER: _ClassVar[int]
    url: str
    alt_text: str
    def __init__(self, url: _Optional[str] = ..., alt_text: _Optional[str] = ...) -> None: ...

class AccountOverride(_message.Message):
    __slots__ = ("social_account_id", "caption", "media")
    SOCIAL_ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    CAPTION_FIELD_NUMBER: _ClassVar[int]
    MEDIA_FIELD_NUMBER: _ClassVar[int]
    social_account_id: str
    caption: str
    media: _containers.RepeatedCompositeFieldContainer[Media]
    def __init__(self, social_account_id: _Optional[str] = ..., caption: _Optional[str] = ..., media: _Optional[_Iterable[_Union[Media, _Mapping]]] = ...) -> None: ...

class SandboxPostOptions(_message.Message):
    __slots__ = ("visibility",)
    VISIBILITY_FIELD_NUMBER: _ClassVar[int]
    visibility: SandboxVisibility
    def __init__(self, visibility: _Optional[_Union[SandboxVisibility, str]] = ...) -> None: ...

class BlueskyPostOptions(_message.Message):
    __slots__ = ("languages", "no_link_card", "self_labels")
    LANGUAGES_FIELD_NUMBER: _ClassVar[int]
    NO_LINK_CARD_FIELD_NUMBER: _ClassVar[int]
    SELF_LABELS_FIELD_NUMBER: _ClassVar[int]
    languages: _containers.RepeatedScalarFieldContainer[str]
    no_link_card: bool
    self_labels: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, languages: _Optional[_Iterable[str]] = ..., no_link_card: _Optional[bool] = ..., self_labels: _Optional[_Iterable[str]] = ...) -> None: ...

class MastodonPoll(_message.Message):
    __slots__ = ("options", "duration", "multiple", "hide_totals")
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    DURATION_FIELD_NUMBER: _ClassVar[int]
    MULTIPLE_FIELD_NUMBER: _ClassVar[int]
    HIDE_TOTALS_FIELD_NUMBER: _ClassVar[int]
    options: _containers.RepeatedScalarFieldContainer[str]
    duration: _duration_pb2.Duration
    multiple: bool
    hide_totals: bool
    def __init__(self, options: _Optional[_Iterable[str]] = ..., duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., multiple: _Optional[bool] = ..., hide_totals: _Optional[bool] = ...) -> None: ...

class MastodonPostOptions(_message.Message):
    __slots__ = ("visibility", "spoiler_text", "sensitive", "language", "poll")
    VISIBILITY_FIELD_NUMBER: _ClassVar[int]
    SPOILER_TEXT_FIELD_NUMBER: _ClassVar[int]
    SENSITIVE_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    POLL_FIELD_NUMBER: _ClassVar[int]
    visibility: MastodonVisibility
    spoiler_text: str
    sensitive: bool
    language: str
    poll: MastodonPoll
    def __init__(self, visibility: _Optional[_Union[MastodonVisibility, str]] = ..., spoiler_text: _Optional[str] = ..., sensitive: _Optional[bool] = ..., language: _Optional[str] = ..., poll: _Optional[_Union[MastodonPoll, _Mapping]] = ...) -> None: ...

class PostPlatformOptions(_message.Message):
    __slots__ = ("sandbox", "bluesky", "mastodon")
    SANDBOX_FIELD_NUMBER: _ClassVar[int]
    BLUESKY_FIELD_NUMBER: _ClassVar[int]
    MASTODON_FIELD_NUMBER: _ClassVar[int]
    sandbox: SandboxPostOptions
    bluesky: BlueskyPostOptions
    mastodon: MastodonPostOptions
    def __init__(self, sandbox: _Optional[_Union[SandboxPostOptions, _Mapping]] = ..., bluesky: _Optional[_Union[BlueskyPostOptions, _Mapping]] = ..., mastodon: _Optional[_Union[MastodonPostOptions, _Mapping]] = ...) -> None: ...

class PublishError(_message.Message):
    __slots__ = ("category", "code", "message", "retryable")
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    RETRYABLE_FIELD_NUMBER: _ClassVar[int]
    category: PublishErrorCategory
    code: str
    message: str
    retryable: bool
    def __init__(self, category: _Optional[_Union[PublishErrorCategory, str]] = ..., code: _Optional[str] = ..., message: _Optional[str] = ..., retryable: _Optional[bool] = ...) -> None: ...

class PublishedFollowUp(_message.Message):
    __slots__ = ("state", "platform_post_id", "platform_post_url", "publish_time", "error")
    STATE_FIELD_NUMBER: _ClassVar[int]
    PLATFORM_POST_ID_FIELD_NUMBER: _ClassVar[int]
    PLATFORM_POST_URL_FIELD_NUMBER: _ClassVar[int]
    PUBLISH_TIME_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    state: SocialPostTargetState
    platform_post_id: str
    platform_post_url: str
    publish_time: _timestamp_pb2.Timestamp
    error: PublishError
    def __init__(self, state: _Optional[_Union[SocialPostTargetState, str]] = ..., platform_post_id: _Optional[str] = ..., platform_post_url: _Optional[str] = ..., publish_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., error: _Optional[_Union[PublishError, _Mapping]] = ...) -> None: ...

class SocialPostTarget(_message.Message):
    __slots__ = ("social_account_id", "platform", "state", "social_post_id", "attempt_count", "due_time", "send_time", "publish_time", "platform_post_id", "platform_post_url", "error", "follow_ups")
    SOCIAL_ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    PLATFORM_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    SOCIAL_POST_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_COUNT_FIELD_NUMBER: _ClassVar[int]
    DUE_TIME_FIELD_NUMBER: _ClassVar[int]
    SEND_TIME_FIELD_NUMBER: _ClassVar[int]
    PUBLISH_TIME_FIELD_NUMBER: _ClassVar[int]
    PLATFORM_POST_ID_FIELD_NUMBER: _ClassVar[int]
    PLATFORM_POST_URL_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    FOLLOW_UPS_FIELD_NUMBER: _ClassVar[int]
    social_account_id: str
    platform: _platform_pb2.Platform
    state: SocialPostTargetState
    social_post_id: str
    attempt_count: int
    due_time: _timestamp_pb2.Timestamp
    send_time: _timestamp_pb2.Timestamp
    publish_time: _timestamp_pb2.Timestamp
    platform_post_id: str
    platform_post_url: str
    error: PublishError
    follow_ups: _containers.RepeatedCompositeFieldContainer[PublishedFollowUp]
    def __init__(self, social_account_id: _Optional[str] = ..., platform: _Optional[_Union[_platform_pb2.Platform, str]] = ..., state: _Optional[_Union[SocialPostTargetState, str]] = ..., social_post_id: _Optional[str] = ..., attempt_count: _Optional[int] = ..., due_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., send_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., publish_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., platform_post_id: _Optional[str] = ..., platform_post_url: _Optional[str] = ..., error: _Optional[_Union[PublishError, _Mapping]] = ..., follow_ups: _Optional[_Iterable[_Union[PublishedFollowUp, _Mapping]]] = ...) -> None: ...

class CreateSocialPostRequest(_message.Message):
    __slots__ = ("social_post", "request_id")
    SOCIAL_POST_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    social_post: SocialPost
    request_id: str
    def __init__(self, social_post: _Optional[_Union[SocialPost, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class CreateSocialPostResponse(_message.Message):
    __slots__ = ("social_post",)
    SOCIAL_POST_FIELD_NUMBER: _ClassVar[int]
    social_post: SocialPost
    def __init__(self, social_post: _Optional[_Union[SocialPost, _Mapping]] = ...) -> None: ...

class GetSocialPostRequest(_message.Message):
    __slots__ = ("social_post_id",)
    SOCIAL_POST_ID_FIELD_NUMBER: _ClassVar[int]
    social_post_id: str
    def __init__(self, social_post_id: _Optional[str] = ...) -> None: ...

class GetSocialPostResponse(_message.Message):
    __slots__ = ("social_post",)
    SOCIAL_POST_FIELD_NUMBER: _ClassVar[int]
    social_post: SocialPost
    def __init__(self, social_post: _Optional[_Union[SocialPost, _Mapping]] = ...) -> None: ...

class ListSocialPostsRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "external_ids", "platforms", "states", "social_account_ids", "scheduled_after", "scheduled_before")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    EXTERNAL_IDS_FIELD_NUMBER: _ClassVar[int]
    PLATFORMS_FIELD_NUMBER: _ClassVar[int]
    STATES_FIELD_NUMBER: _ClassVar[int]
    SOCIAL_ACCOUNT_IDS_FIELD_NUMBER: _ClassVar[int]
    SCHEDULED_AFTER_FIELD_NUMBER: _ClassVar[int]
    SCHEDULED_BEFORE_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    external_ids: _containers.RepeatedScalarFieldContainer[str]
    platforms: _containers.RepeatedScalarFieldContainer[_platform_pb2.Platform]
    states: _containers.RepeatedScalarFieldContainer[SocialPostState]
    social_account_ids: _containers.RepeatedScalarFieldContainer[str]
    scheduled_after: _timestamp_pb2.Timestamp
    scheduled_before: _timestamp_pb2.Timestamp
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., external_ids: _Optional[_Iterable[str]] = ..., platforms: _Optional[_Iterable[_Union[_platform_pb2.Platform, str]]] = ..., states: _Optional[_Iterable[_Union[SocialPostState, str]]] = ..., social_account_ids: _Optional[_Iterable[str]] = ..., scheduled_after: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., scheduled_before: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ListSocialPostsResponse(_message.Message):
    __slots__ = ("social_posts", "next_page_token")
    SOCIAL_POSTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    social_posts: _containers.RepeatedCompositeFieldContainer[SocialPost]
    next_page_token: str
    def __init__(self, social_posts: _Optional[_Iterable[_Union[SocialPost, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class UpdateSocialPostRequest(_message.Message):
    __slots__ = ("social_post", "update_mask")
    SOCIAL_POST_FIELD_NUMBER: _ClassVar[int]
    UPDATE_MASK_FIELD_NUMBER: _ClassVar[int]
    social_post: SocialPost
    update_mask: _field_mask_pb2.FieldMask
    def __init__(self, social_post: _Optional[_Union[SocialPost, _Mapping]] = ..., update_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ...) -> None: ...

class UpdateSocialPostResponse(_message.Message):
    __slots__ = ("social_post",)
    SOCIAL_POST_FIELD_NUMBER: _ClassVar[int]
    social_post: SocialPost
    def __init__(self, social_post: _Optional[_Union[SocialPost, _Mapping]] = ...) -> None: ...

class DeleteSocialPostRequest(_message.Message):
    __slots__ = ("social_post_id", "etag")
    SOCIAL_POST_ID_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    social_post_id: str
    etag: str
    def __init__(self, social_post_id: _Optional[str] = ..., etag: _Optional[str] = ...) -> None: ...

class DeleteSocialPostResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class PublishSocialPostRequest(_message.Message):
    __slots__ = ("social_post_id", "etag", "request_id")
    SOCIAL_POST_ID_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    social_post_id: str
    etag: str
    request_id: str
    def __init__(self, social_post_id: _Optional[str] = ..., etag: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class PublishSocialPostResponse(_message.Message):
    __slots__ = ("social_post",)
    SOCIAL_POST_FIELD_NUMBER: _ClassVar[int]
    social_post: SocialPost
    def __init__(self, social_post: _Optional[_Union[SocialPost, _Mapping]] = ...) -> None: ...

class CancelSocialPostRequest(_message.Message):
    __slots__ = ("social_post_id", "etag", "request_id")
    SOCIAL_POST_ID_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    social_post_id: str
    etag: str
    request_id: str
    def __init__(self, social_post_id: _Optional[str] = ..., etag: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class CancelSocialPostResponse(_message.Message):
    __slots__ = ("social_post",)
    SOCIAL_POST_FIELD_NUMBER: _ClassVar[int]
    social_post: SocialPost
    def __init__(self, social_post: _Optional[_Union[SocialPost, _Mapping]] = ...) -> None: ...

class RetrySocialPostRequest(_message.Message):
    __slots__ = ("social_post_id", "social_account_ids", "etag", "request_id")
    SOCIAL_POST_ID_FIELD_NUMBER: _ClassVar[int]
    SOCIAL_ACCOUNT_IDS_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    social_post_id: str
    social_account_ids: _containers.RepeatedScalarFieldContainer[str]
    etag: str
    request_id: str
    def __init__(self, social_post_id: _Optional[str] = ..., social_account_ids: _Optional[_Iterable[str]] = ..., etag: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class RetrySocialPostResponse(_message.Message):
    __slots__ = ("social_post",)
    SOCIAL_POST_FIELD_NUMBER: _ClassVar[int]
    social_post: SocialPost
    def __init__(self, social_post: _Optional[_Union[SocialPost, _Mapping]] = ...) -> None: ...

class ResolveSocialPostTargetRequest(_message.Message):
    __slots__ = ("social_post_id", "social_account_id", "resolution", "platform_post_url", "platform_post_id", "etag", "request_id")
    SOCIAL_POST_ID_FIELD_NUMBER: _ClassVar[int]
    SOCIAL_ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    RESOLUTION_FIELD_NUMBER: _ClassVar[int]
    PLATFORM_POST_URL_FIELD_NUMBER: _ClassVar[int]
    PLATFORM_POST_ID_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    social_post_id: str
    social_account_id: str
    resolution: SocialPostTargetResolution
    platform_post_url: str
    platform_post_id: str
    etag: str
    request_id: str
    def __init__(self, social_post_id: _Optional[str] = ..., social_account_id: _Optional[str] = ..., resolution: _Optional[_Union[SocialPostTargetResolution, str]] = ..., platform_post_url: _Optional[str] = ..., platform_post_id: _Optional[str] = ..., etag: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class ResolveSocialPostTargetResponse(_message.Message):
    __slots__ = ("social_post",)
    SOCIAL_POST_FIELD_NUMBER: _ClassVar[int]
    social_post: SocialPost
    def __init__(self, social_post: _Optional[_Union[SocialPost, _Mapping]] = ...) -> None: ...

class ListSocialPostTargetsRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "external_ids", "states", "platforms", "social_account_ids", "scheduled_after", "scheduled_before")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    EXTERNAL_IDS_FIELD_NUMBER: _ClassVar[int]
    STATES_FIELD_NUMBER: _ClassVar[int]
    PLATFORMS_FIELD_NUMBER: _ClassVar[int]
    SOCIAL_ACCOUNT_IDS_FIELD_NUMBER: _ClassVar[int]
    SCHEDULED_AFTER_FIELD_NUMBER: _ClassVar[int]
    SCHEDULED_BEFORE_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    external_ids: _containers.RepeatedScalarFieldContainer[str]
    states: _containers.RepeatedScalarFieldContainer[SocialPostTargetState]
    platforms: _containers.RepeatedScalarFieldContainer[_platform_pb2.Platform]
    social_account_ids: _containers.RepeatedScalarFieldContainer[str]
    scheduled_after: _timestamp_pb2.Timestamp
    scheduled_before: _timestamp_pb2.Timestamp
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., external_ids: _Optional[_Iterable[str]] = ..., states: _Optional[_Iterable[_Union[SocialPostTargetState, str]]] = ..., platforms: _Optional[_Iterable[_Union[_platform_pb2.Platform, str]]] = ..., social_account_ids: _Optional[_Iterable[str]] = ..., scheduled_after: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., scheduled_before: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ListSocialPostTargetsResponse(_message.Message):
    __slots__ = ("social_post_targets", "next_page_token")
    SOCIAL_POST_TARGETS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    social_post_targets: _containers.RepeatedCompositeFieldContainer[SocialPostTarget]
    next_page_token: str
    def __init__(self, social_post_targets: _Optional[_Iterable[_Union[SocialPostTarget, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ValidateSocialPostRequest(_message.Message):
    __slots__ = ("social_post", "platforms")
    SOCIAL_POST_FIELD_NUMBER: _ClassVar[int]
    PLATFORMS_FIELD_NUMBER: _ClassVar[int]
    social_post: SocialPost
    platforms: _containers.RepeatedScalarFieldContainer[_platform_pb2.Platform]
    def __init__(self, social_post: _Optional[_Union[SocialPost, _Mapping]] = ..., platforms: _Optional[_Iterable[_Union[_platform_pb2.Platform, str]]] = ...) -> None: ...

class ValidateSocialPostResponse(_message.Message):
    __slots__ = ("problems",)
    PROBLEMS_FIELD_NUMBER: _ClassVar[int]
    problems: _containers.RepeatedCompositeFieldContainer[PostProblem]
    def __init__(self, problems: _Optional[_Iterable[_Union[PostProblem, _Mapping]]] = ...) -> None: ...

class PostProblem(_message.Message):
    __slots__ = ("social_account_id", "platform", "field", "description")
    SOCIAL_ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    PLATFORM_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    social_account_id: str
    platform: _platform_pb2.Platform
    field: str
    description: str
    def __init__(self, social_account_id: _Optional[str] = ..., platform: _Optional[_Union[_platform_pb2.Platform, str]] = ..., field: _Optional[str] = ..., description: _Optional[str] = ...) -> None: ...
