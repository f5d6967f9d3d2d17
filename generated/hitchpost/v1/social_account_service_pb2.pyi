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

class SocialAccountState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SOCIAL_ACCOUNT_STATE_UNSPECIFIED: _ClassVar[SocialAccountState]
    SOCIAL_ACCOUNT_STATE_CONNECTED: _ClassVar[SocialAccountState]
    SOCIAL_ACCOUNT_STATE_NEEDS_REAUTH: _ClassVar[SocialAccountState]
    SOCIAL_ACCOUNT_STATE_DISCONNECTED: _ClassVar[SocialAccountState]

class SocialAccountReauthReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SOCIAL_ACCOUNT_REAUTH_REASON_UNSPECIFIED: _ClassVar[SocialAccountReauthReason]
    SOCIAL_ACCOUNT_REAUTH_REASON_TOKENS_REFUSED: _ClassVar[SocialAccountReauthReason]
    SOCIAL_ACCOUNT_REAUTH_REASON_APP_DELETED: _ClassVar[SocialAccountReauthReason]
    SOCIAL_ACCOUNT_REAUTH_REASON_APP_REFUSED: _ClassVar[SocialAccountReauthReason]

class LinkedInConnectionType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LINKED_IN_CONNECTION_TYPE_UNSPECIFIED: _ClassVar[LinkedInConnectionType]
    LINKED_IN_CONNECTION_TYPE_MEMBER: _ClassVar[LinkedInConnectionType]
    LINKED_IN_CONNECTION_TYPE_ORGANIZATION: _ClassVar[LinkedInConnectionType]

class InstagramLogin(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    INSTAGRAM_LOGIN_UNSPECIFIED: _ClassVar[InstagramLogin]
    INSTAGRAM_LOGIN_INSTAGRAM: _ClassVar[InstagramLogin]
    INSTAGRAM_LOGIN_FACEBOOK: _ClassVar[InstagramLogin]
SOCIAL_ACCOUNT_STATE_UNSPECIFIED: SocialAccountState
SOCIAL_ACCOUNT_STATE_CONNECTED: SocialAccountState
SOCIAL_ACCOUNT_STATE_NEEDS_REAUTH: SocialAccountState
SOCIAL_ACCOUNT_STATE_DISCONNECTED: SocialAccountState
SOCIAL_ACCOUNT_REAUTH_REASON_UNSPECIFIED: SocialAccountReauthReason
SOCIAL_ACCOUNT_REAUTH_REASON_TOKENS_REFUSED: SocialAccountReauthReason
SOCIAL_ACCOUNT_REAUTH_REASON_APP_DELETED: SocialAccountReauthReason
SOCIAL_ACCOUNT_REAUTH_REASON_APP_REFUSED: SocialAccountReauthReason
LINKED_IN_CONNECTION_TYPE_UNSPECIFIED: LinkedInConnectionType
LINKED_IN_CONNECTION_TYPE_MEMBER: LinkedInConnectionType
LINKED_IN_CONNECTION_TYPE_ORGANIZATION: LinkedInConnectionType
INSTAGRAM_LOGIN_UNSPECIFIED: InstagramLogin
INSTAGRAM_LOGIN_INSTAGRAM: InstagramLogin
INSTAGRAM_LOGIN_FACEBOOK: InstagramLogin

class SocialAccount(_message.Message):
    __slots__ = ("id", "platform", "platform_user_id", "username", "display_name", "profile_photo_url", "external_id", "state", "scopes", "access_token_expire_time", "metadata", "etag", "create_time", "update_time", "connect_time", "reauth_reason")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    PLATFORM_FIELD_NUMBER: _ClassVar[int]
    PLATFORM_USER_ID_FIELD_NUMBER: _ClassVar[int]
    USERNAME_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    PROFILE_PHOTO_URL_FIELD_NUMBER: _ClassVar[int]
    EXTERNAL_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    SCOPES_FIELD_NUMBER: _ClassVar[int]
    ACCESS_TOKEN_EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    CONNECT_TIME_FIELD_NUMBER: _ClassVar[int]
    REAUTH_REASON_FIELD_NUMBER: _ClassVar[int]
    id: str
    platform: _platform_pb2.Platform
    platform_user_id: str
    username: str
    display_name: str
    profile_photo_url: str
    external_id: str
    state: SocialAccountState
    scopes: _containers.RepeatedScalarFieldContainer[str]
    access_token_expire_time: _timestamp_pb2.Timestamp
    metadata: _containers.ScalarMap[str, str]
    etag: str
    create_time: _timestamp_pb2.Timestamp
    update_time: _timestamp_pb2.Timestamp
    connect_time: _timestamp_pb2.Timestamp
    reauth_reason: SocialAccountReauthReason
    def __init__(self, id: _Optional[str] = ..., platform: _Optional[_Union[_platform_pb2.Platform, str]] = ..., platform_user_id: _Optional[str] = ..., username: _Optional[str] = ..., display_name: _Optional[str] = ..., profile_photo_url: _Optional[str] = ..., external_id: _Optional[str] = ..., state: _Optional[_Union[SocialAccountState, str]] = ..., scopes: _Optional[_Iterable[str]] = ..., access_token_expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., metadata: _Optional[_Mapping[str, str]] = ..., etag: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., connect_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., reauth_reason: _Optional[_Union[SocialAccountReauthReason, str]] = ...) -> None: ...

class SandboxAuthOptions(_message.Message):
    __slots__ = ("login_hint",)
    LOGIN_HINT_FIELD_NUMBER: _ClassVar[int]
    login_hint: str
    def __init__(self, login_hint: _Optional[str] = ...) -> None: ...

class BlueskyAuthOptions(_message.Message):
    __slots__ = ("handle",)
    HANDLE_FIELD_NUMBER: _ClassVar[int]
    handle: str
    def __init__(self, handle: _Optional[str] = ...) -> None: ...

class MastodonAuthOptions(_message.Message):
    __slots__ = ("instance",)
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    instance: str
    def __init__(self, instance: _Optional[str] = ...) -> None: ...

class LinkedInAuthOptions(_message.Message):
    __slots__ = ("connection_type",)
    CONNECTION_TYPE_FIELD_NUMBER: _ClassVar[int]
    connection_type: LinkedInConnectionType
    def __init__(self, connection_type: _Optional[_Union[LinkedInConnectionType, str]] = ...) -> None: ...

class InstagramAuthOptions(_message.Message):
    __slots__ = ("login",)
    LOGIN_FIELD_NUMBER: _ClassVar[int]
    login: InstagramLogin
    def __init__(self, login: _Optional[_Union[InstagramLogin, str]] = ...) -> None: ...

class XAuthOptions(_message.Message):
    __slots__ = ("short_lived",)
    SHORT_LIVED_FIELD_NUMBER: _ClassVar[int]
    short_lived: bool
    def __init__(self, short_lived: _Optional[bool] = ...) -> None: ...

class AuthPlatformOptions(_message.Message):
    __slots__ = ("sandbox", "bluesky", "mastodon", "linkedin", "instagram", "x")
    SANDBOX_FIELD_NUMBER: _ClassVar[int]
    BLUESKY_FIELD_NUMBER: _ClassVar[int]
    MASTODON_FIELD_NUMBER: _ClassVar[int]
    LINKEDIN_FIELD_NUMBER: _ClassVar[int]
    INSTAGRAM_FIELD_NUMBER: _ClassVar[int]
    X_FIELD_NUMBER: _ClassVar[int]
    sandbox: SandboxAuthOptions
    bluesky: BlueskyAuthOptions
    mastodon: MastodonAuthOptions
    linkedin: LinkedInAuthOptions
    instagram: InstagramAuthOptions
    x: XAuthOptions
    def __init__(self, sandbox: _Optional[_Union[SandboxAuthOptions, _Mapping]] = ..., bluesky: _Optional[_Union[BlueskyAuthOptions, _Mapping]] = ..., mastodon: _Optional[_Union[MastodonAuthOptions, _Mapping]] = ..., linkedin: _Optional[_Union[LinkedInAuthOptions, _Mapping]] = ..., instagram: _Optional[_Union[InstagramAuthOptions, _Mapping]] = ..., x: _Optional[_Union[XAuthOptions, _Mapping]] = ...) -> None: ...

class CreateAuthUrlRequest(_message.Message):
    __slots__ = ("platform", "external_id", "redirect_url", "permissions", "platform_options", "social_account_id", "require_confirmation")
    PLATFORM_FIELD_NUMBER: _ClassVar[int]
    EXTERNAL_ID_FIELD_NUMBER: _ClassVar[int]
    REDIRECT_URL_FIELD_NUMBER: _ClassVar[int]
    PERMISSIONS_FIELD_NUMBER: _ClassVar[int]
    PLATFORM_OPTIONS_FIELD_NUMBER: _ClassVar[int]
    SOCIAL_ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    REQUIRE_CONFIRMATION_FIELD_NUMBER: _ClassVar[int]
    platform: _platform_pb2.Platform
    external_id: str
    redirect_url: str
    permissions: _containers.RepeatedScalarFieldContainer[str]
    platform_options: AuthPlatformOptions
    social_account_id: str
    require_confirmation: bool
    def __init__(self, platform: _Optional[_Union[_platform_pb2.Platform, str]] = ..., external_id: _Optional[str] = ..., redirect_url: _Optional[str] = ..., permissions: _Optional[_Iterable[str]] = ..., platform_options: _Optional[_Union[AuthPlatformOptions, _Mapping]] = ..., social_account_id: _Optional[str] = ..., require_confirmation: _Optional[bool] = ...) -> None: ...

class CreateAuthUrlResponse(_message.Message):
    __slots__ = ("url", "state", "expire_time")
    URL_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    url: str
    state: str
    expire_time: _timestamp_pb2.Timestamp
    def __init__(self, url: _Optional[str] = ..., state: _Optional[str] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class CompleteAuthRequest(_message.Message):
    __slots__ = ("callback_url", "external_id")
    CALLBACK_URL_FIELD_NUMBER: _ClassVar[int]
    EXTERNAL_ID_FIELD_NUMBER: _ClassVar[int]
    callback_url: str
    external_id: str
    def __init__(self, callback_url: _Optional[str] = ..., external_id: _Optional[str] = ...) -> None: ...

class CompleteAuthResponse(_message.Message):
    __slots__ = ("connected_accounts", "rejected_accounts", "confirmation_code")
    CONNECTED_ACCOUNTS_FIELD_NUMBER: _ClassVar[int]
    REJECTED_ACCOUNTS_FIELD_NUMBER: _ClassVar[int]
    CONFIRMATION_CODE_FIELD_NUMBER: _ClassVar[int]
    connected_accounts: _containers.RepeatedCompositeFieldContainer[SocialAccount]
    rejected_accounts: _containers.RepeatedCompositeFieldContainer[RejectedAccount]
    confirmation_code: str
    def __init__(self, connected_accounts: _Optional[_Iterable[_Union[SocialAccount, _Mapping]]] = ..., rejected_accounts: _Optional[_Iterable[_Union[RejectedAccount, _Mapping]]] = ..., confirmation_code: _Optional[str] = ...) -> None: ...

class ConfirmAuthRequest(_message.Message):
    __slots__ = ("confirmation_code", "external_id")
    CONFIRMATION_CODE_FIELD_NUMBER: _ClassVar[int]
    EXTERNAL_ID_FIELD_NUMBER: _ClassVar[int]
    confirmation_code: str
    external_id: str
    def __init__(self, confirmation_code: _Optional[str] = ..., external_id: _Optional[str] = ...) -> None: ...

class ConfirmAuthResponse(_message.Message):
    __slots__ = ("connected_accounts", "rejected_accounts")
    CONNECTED_ACCOUNTS_FIELD_NUMBER: _ClassVar[int]
    REJECTED_ACCOUNTS_FIELD_NUMBER: _ClassVar[int]
    connected_accounts: _containers.RepeatedCompositeFieldContainer[SocialAccount]
    rejected_accounts: _containers.RepeatedCompositeFieldContainer[RejectedAccount]
    def __init__(self, connected_accounts: _Optional[_Iterable[_Union[SocialAccount, _Mapping]]] = ..., rejected_accounts: _Optional[_Iterable[_Union[RejectedAccount, _Mapping]]] = ...) -> None: ...

class RejectedAccount(_message.Message):
    __slots__ = ("platform_user_id", "username", "reason")
    PLATFORM_USER_ID_FIELD_NUMBER: _ClassVar[int]
    USERNAME_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    platform_user_id: str
    username: str
    reason: str
    def __init__(self, platform_user_id: _Optional[str] = ..., username: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class ImportSocialAccountRequest(_message.Message):
    __slots__ = ("platform", "platform_user_id", "username", "display_name", "profile_photo_url", "external_id", "access_token", "refresh_token", "access_token_expire_time", "scopes", "metadata", "request_id")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    PLATFORM_FIELD_NUMBER: _ClassVar[int]
    PLATFORM_USER_ID_FIELD_NUMBER: _ClassVar[int]
    USERNAME_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    PROFILE_PHOTO_URL_FIELD_NUMBER: _ClassVar[int]
    EXTERNAL_ID_FIELD_NUMBER: _ClassVar[int]
    ACCESS_TOKEN_FIELD_NUMBER: _ClassVar[int]
    REFRESH_TOKEN_FIELD_NUMBER: _ClassVar[int]
    ACCESS_TOKEN_EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    SCOPES_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    platform: _platform_pb2.Platform
    platform_user_id: str
    username: str
    display_name: str
    profile_photo_url: str
    external_id: str
    access_token: str
    refresh_token: str
    access_token_expire_time: _timestamp_pb2.Timestamp
    scopes: _containers.RepeatedScalarFieldContainer[str]
    metadata: _containers.ScalarMap[str, str]
    request_id: str
    def __init__(self, platform: _Optional[_Union[_platform_pb2.Platform, str]] = ..., platform_user_id: _Optional[str] = ..., username: _Optional[str] = ..., display_name: _Optional[str] = ..., profile_photo_url: _Optional[str] = ..., external_id: _Optional[str] = ..., access_token: _Optional[str] = ..., refresh_token: _Optional[str] = ..., access_token_expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., scopes: _Optional[_Iterable[str]] = ..., metadata: _Optional[_Mapping[str, str]] = ..., request_id: _Optional[str] = ...) -> None: ...

class ImportSocialAccountResponse(_message.Message):
    __slots__ = ("social_account",)
    SOCIAL_ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    social_account: SocialAccount
    def __init__(self, social_account: _Optional[_Union[SocialAccount, _Mapping]] = ...) -> None: ...

class ConnectWithAppPasswordRequest(_message.Message):
    __slots__ = ("handle", "app_password", "service_url", "external_id", "request_id")
    HANDLE_FIELD_NUMBER: _ClassVar[int]
    APP_PASSWORD_FIELD_NUMBER: _ClassVar[int]
    SERVICE_URL_FIELD_NUMBER: _ClassVar[int]
    EXTERNAL_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    handle: str
    app_password: str
    service_url: str
    external_id: str
    request_id: str
    def __init__(self, handle: _Optional[str] = ..., app_password: _Optional[str] = ..., service_url: _Optional[str] = ..., external_id: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class ConnectWithAppPasswordResponse(_message.Message):
    __slots__ = ("social_account",)
    SOCIAL_ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    social_account: SocialAccount
    def __init__(self, social_account: _Optional[_Union[SocialAccount, _Mapping]] = ...) -> None: ...

class GetSocialAccountRequest(_message.Message):
    __slots__ = ("social_account_id",)
    SOCIAL_ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    social_account_id: str
    def __init__(self, social_account_id: _Optional[str] = ...) -> None: ...

class GetSocialAccountResponse(_message.Message):
    __slots__ = ("social_account",)
    SOCIAL_ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    social_account: SocialAccount
    def __init__(self, social_account: _Optional[_Union[SocialAccount, _Mapping]] = ...) -> None: ...

class ListSocialAccountsRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "external_ids", "platforms", "usernames", "social_account_ids", "states")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    EXTERNAL_IDS_FIELD_NUMBER: _ClassVar[int]
    PLATFORMS_FIELD_NUMBER: _ClassVar[int]
    USERNAMES_FIELD_NUMBER: _ClassVar[int]
    SOCIAL_ACCOUNT_IDS_FIELD_NUMBER: _ClassVar[int]
    STATES_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    external_ids: _containers.RepeatedScalarFieldContainer[str]
    platforms: _containers.RepeatedScalarFieldContainer[_platform_pb2.Platform]
    usernames: _containers.RepeatedScalarFieldContainer[str]
    social_account_ids: _containers.RepeatedScalarFieldContainer[str]
    states: _containers.RepeatedScalarFieldContainer[SocialAccountState]
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., external_ids: _Optional[_Iterable[str]] = ..., platforms: _Optional[_Iterable[_Union[_platform_pb2.Platform, str]]] = ..., usernames: _Optional[_Iterable[str]] = ..., social_account_ids: _Optional[_Iterable[str]] = ..., states: _Optional[_Iterable[_Union[SocialAccountState, str]]] = ...) -> None: ...

class ListSocialAccountsResponse(_message.Message):
    __slots__ = ("social_accounts", "next_page_token")
    SOCIAL_ACCOUNTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    social_accounts: _containers.RepeatedCompositeFieldContainer[SocialAccount]
    next_page_token: str
    def __init__(self, social_accounts: _Optional[_Iterable[_Union[SocialAccount, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class UpdateSocialAccountRequest(_message.Message):
    __slots__ = ("social_account", "update_mask")
    SOCIAL_ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    UPDATE_MASK_FIELD_NUMBER: _ClassVar[int]
    social_account: SocialAccount
    update_mask: _field_mask_pb2.FieldMask
    def __init__(self, social_account: _Optional[_Union[SocialAccount, _Mapping]] = ..., update_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ...) -> None: ...

class UpdateSocialAccountResponse(_message.Message):
    __slots__ = ("social_account",)
    SOCIAL_ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    social_account: SocialAccount
    def __init__(self, social_account: _Optional[_Union[SocialAccount, _Mapping]] = ...) -> None: ...

class TransferSocialAccountRequest(_message.Message):
    __slots__ = ("social_account_id", "from_external_id", "to_external_id", "etag")
    SOCIAL_ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    FROM_EXTERNAL_ID_FIELD_NUMBER: _ClassVar[int]
    TO_EXTERNAL_ID_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    social_account_id: str
    from_external_id: str
    to_external_id: str
    etag: str
    def __init__(self, social_account_id: _Optional[str] = ..., from_external_id: _Optional[str] = ..., to_external_id: _Optional[str] = ..., etag: _Optional[str] = ...) -> None: ...

class TransferSocialAccountResponse(_message.Message):
    __slots__ = ("social_account",)
    SOCIAL_ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    social_account: SocialAccount
    def __init__(self, social_account: _Optional[_Union[SocialAccount, _Mapping]] = ...) -> None: ...

class DisconnectSocialAccountRequest(_message.Message):
    __slots__ = ("social_account_id", "etag")
    SOCIAL_ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    social_account_id: str
    etag: str
    def __init__(self, social_account_id: _Optional[str] = ..., etag: _Optional[str] = ...) -> None: ...

class DisconnectSocialAccountResponse(_message.Message):
    __slots__ = ("social_account",)
    SOCIAL_ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    social_account: SocialAccount
    def __init__(self, social_account: _Optional[_Union[SocialAccount, _Mapping]] = ...) -> None: ...

class DeleteSocialAccountRequest(_message.Message):
    __slots__ = ("social_account_id", "etag")
    SOCIAL_ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    social_account_id: str
    etag: str
    def __init__(self, social_account_id: _Optional[str] = ..., etag: _Optional[str] = ...) -> None: ...

class DeleteSocialAccountResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
