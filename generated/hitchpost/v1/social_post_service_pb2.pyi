import datetime

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

class SocialPostTargetState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SOCIAL_POST_TARGET_STATE_UNSPECIFIED: _ClassVar[SocialPostTargetState]
    SOCIAL_POST_TARGET_STATE_PENDING: _ClassVar[SocialPostTargetState]

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
SOCIAL_POST_TARGET_STATE_UNSPECIFIED: SocialPostTargetState
SOCIAL_POST_TARGET_STATE_PENDING: SocialPostTargetState
SANDBOX_VISIBILITY_UNSPECIFIED: SandboxVisibility
SANDBOX_VISIBILITY_PUBLIC: SandboxVisibility
SANDBOX_VISIBILITY_UNLISTED: SandboxVisibility

class SocialPost(_message.Message):
    __slots__ = ("id", "external_id", "caption", "social_account_ids", "media", "scheduled_time", "state", "account_overrides", "platform_options", "targets", "etag", "create_time", "update_time")
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
    def __init__(self, id: _Optional[str] = ..., external_id: _Optional[str] = ..., caption: _Optional[str] = ..., social_account_ids: _Optional[_Iterable[str]] = ..., media: _Optional[_Iterable[_Union[Media, _Mapping]]] = ..., scheduled_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., state: _Optional[_Union[SocialPostState, str]] = ..., account_overrides: _Optional[_Iterable[_Union[AccountOverride, _Mapping]]] = ..., platform_options: _Optional[_Union[PostPlatformOptions, _Mapping]] = ..., targets: _Optional[_Iterable[_Union[SocialPostTarget, _Mapping]]] = ..., etag: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

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

class PostPlatformOptions(_message.Message):
    __slots__ = ("sandbox",)
    SANDBOX_FIELD_NUMBER: _ClassVar[int]
    sandbox: SandboxPostOptions
    def __init__(self, sandbox: _Optional[_Union[SandboxPostOptions, _Mapping]] = ...) -> None: ...

class SocialPostTarget(_message.Message):
    __slots__ = ("social_account_id", "platform", "state")
    SOCIAL_ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    PLATFORM_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    social_account_id: str
    platform: _platform_pb2.Platform
    state: SocialPostTargetState
    def __init__(self, social_account_id: _Optional[str] = ..., platform: _Optional[_Union[_platform_pb2.Platform, str]] = ..., state: _Optional[_Union[SocialPostTargetState, str]] = ...) -> None: ...

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
