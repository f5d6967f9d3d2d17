import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from . import platform_pb2 as _platform_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PlatformApp(_message.Message):
    __slots__ = ("id", "platform", "external_id", "client_id", "has_client_secret", "setting_names", "create_time", "update_time", "retire_time")
    ID_FIELD_NUMBER: _ClassVar[int]
    PLATFORM_FIELD_NUMBER: _ClassVar[int]
    EXTERNAL_ID_FIELD_NUMBER: _ClassVar[int]
    CLIENT_ID_FIELD_NUMBER: _ClassVar[int]
    HAS_CLIENT_SECRET_FIELD_NUMBER: _ClassVar[int]
    SETTING_NAMES_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    RETIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    id: str
    platform: _platform_pb2.Platform
    external_id: str
    client_id: str
    has_client_secret: bool
    setting_names: _containers.RepeatedScalarFieldContainer[str]
    create_time: _timestamp_pb2.Timestamp
    update_time: _timestamp_pb2.Timestamp
    retire_time: _timestamp_pb2.Timestamp
    def __init__(self, id: _Optional[str] = ..., platform: _Optional[_Union[_platform_pb2.Platform, str]] = ..., external_id: _Optional[str] = ..., client_id: _Optional[str] = ..., has_client_secret: _Optional[bool] = ..., setting_names: _Optional[_Iterable[str]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., retire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class SetPlatformAppRequest(_message.Message):
    __slots__ = ("platform", "client_id", "client_secret", "settings", "external_id")
    class SettingsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    PLATFORM_FIELD_NUMBER: _ClassVar[int]
    CLIENT_ID_FIELD_NUMBER: _ClassVar[int]
    CLIENT_SECRET_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    EXTERNAL_ID_FIELD_NUMBER: _ClassVar[int]
    platform: _platform_pb2.Platform
    client_id: str
    client_secret: str
    settings: _containers.ScalarMap[str, str]
    external_id: str
    def __init__(self, platform: _Optional[_Union[_platform_pb2.Platform, str]] = ..., client_id: _Optional[str] = ..., client_secret: _Optional[str] = ..., settings: _Optional[_Mapping[str, str]] = ..., external_id: _Optional[str] = ...) -> None: ...

class SetPlatformAppResponse(_message.Message):
    __slots__ = ("platform_app",)
    PLATFORM_APP_FIELD_NUMBER: _ClassVar[int]
    platform_app: PlatformApp
    def __init__(self, platform_app: _Optional[_Union[PlatformApp, _Mapping]] = ...) -> None: ...

class ListPlatformAppsRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "external_ids", "platforms")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    EXTERNAL_IDS_FIELD_NUMBER: _ClassVar[int]
    PLATFORMS_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    external_ids: _containers.RepeatedScalarFieldContainer[str]
    platforms: _containers.RepeatedScalarFieldContainer[_platform_pb2.Platform]
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., external_ids: _Optional[_Iterable[str]] = ..., platforms: _Optional[_Iterable[_Union[_platform_pb2.Platform, str]]] = ...) -> None: ...

class ListPlatformAppsResponse(_message.Message):
    __slots__ = ("platform_apps", "next_page_token")
    PLATFORM_APPS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    platform_apps: _containers.RepeatedCompositeFieldContainer[PlatformApp]
    next_page_token: str
    def __init__(self, platform_apps: _Optional[_Iterable[_Union[PlatformApp, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class DeletePlatformAppRequest(_message.Message):
    __slots__ = ("platform_app_id",)
    PLATFORM_APP_ID_FIELD_NUMBER: _ClassVar[int]
    platform_app_id: str
    def __init__(self, platform_app_id: _Optional[str] = ...) -> None: ...

class DeletePlatformAppResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
