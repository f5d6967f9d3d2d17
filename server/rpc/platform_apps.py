"""PlatformAppService: translates between messages and use cases, nothing else."""

from generated.hitchpost.v1 import platform_app_service_pb2 as pb
from server.base.identity import Caller
from server.projects.registered_apps import RegisteredApps
from server.rpc import convert, pagination
from server.rpc.convert import optional


class PlatformAppServicer:
    """See protos/hitchpost/v1/platform_app_service.proto."""

    def __init__(self, apps: RegisteredApps) -> None:
        self._apps = apps

    def SetPlatformApp(self, request: pb.SetPlatformAppRequest, caller: Caller) -> pb.SetPlatformAppResponse:
        app = self._apps.set(
            caller,
            request.platform,
            optional(request, "external_id"),
            client_id=request.client_id,
            client_secret=optional(request, "client_secret"),
            settings=dict(request.settings),
        )
        return pb.SetPlatformAppResponse(platform_app=convert.platform_app(app))

    def ListPlatformApps(
        self, request: pb.ListPlatformAppsRequest, caller: Caller
    ) -> pb.ListPlatformAppsResponse:
        page = pagination.page(
            caller,
            request,
            lambda after, size: self._apps.list_page(
                caller, list(request.external_ids), list(request.platforms), after, size
            ),
        )
        return pb.ListPlatformAppsResponse(
            platform_apps=[convert.platform_app(app) for app in page.rows], next_page_token=page.next_token
        )

    def DeletePlatformApp(
        self, request: pb.DeletePlatformAppRequest, caller: Caller
    ) -> pb.DeletePlatformAppResponse:
        self._apps.delete(caller, request.platform_app_id)
        return pb.DeletePlatformAppResponse()
