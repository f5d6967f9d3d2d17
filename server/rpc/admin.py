"""AdminService: translates between messages and use cases, nothing else."""

from functools import partial

from generated.hitchpost.v1 import admin_service_pb2 as pb
from server.base.identity import Caller, Clock
from server.projects import lists, projects
from server.rpc import convert, pagination


class AdminServicer:
    """See protos/hitchpost/v1/admin_service.proto."""

    def __init__(self, clock: Clock, *, allow_http: bool) -> None:
        """`allow_http` is whether redirect URLs need not be encrypted."""
        self._clock = clock
        self._allow_http = allow_http

    def CreateProject(self, request: pb.CreateProjectRequest, caller: Caller) -> pb.CreateProjectResponse:
        project_id = projects.create(request.name, self._clock(), by=caller.key_id)
        return pb.CreateProjectResponse(project=convert.project(projects.get(project_id)))

    def GetProject(self, request: pb.GetProjectRequest, caller: Caller) -> pb.GetProjectResponse:  # noqa: ARG002
        return pb.GetProjectResponse(project=convert.project(projects.get(request.project_id)))

    def ListProjects(self, request: pb.ListProjectsRequest, caller: Caller) -> pb.ListProjectsResponse:
        page = pagination.page(caller, request, partial(lists.projects_page, request.names))
        return pb.ListProjectsResponse(
            projects=[convert.project(row) for row in page.rows], next_page_token=page.next_token
        )

    def AddRedirectUrl(self, request: pb.AddRedirectUrlRequest, caller: Caller) -> pb.AddRedirectUrlResponse:
        projects.add_redirect_url(
            projects.get(request.project_id),
            request.redirect_url,
            self._clock(),
            allow_http=self._allow_http,
            by=caller.key_id,
        )
        return pb.AddRedirectUrlResponse(project=convert.project(projects.get(request.project_id)))

    def RemoveRedirectUrl(
        self, request: pb.RemoveRedirectUrlRequest, caller: Caller
    ) -> pb.RemoveRedirectUrlResponse:
        project = projects.get(request.project_id)
        projects.remove_redirect_url(project, request.redirect_url, self._clock(), by=caller.key_id)
        return pb.RemoveRedirectUrlResponse(project=convert.project(projects.get(request.project_id)))

    def CreateApiKey(self, request: pb.CreateApiKeyRequest, caller: Caller) -> pb.CreateApiKeyResponse:
        project_id = None if request.admin else projects.get(request.project_id).id
        key, text = projects.issue_key(
            project_id, request.name, self._clock(), read_only=request.read_only, by=caller.key_id
        )
        return pb.CreateApiKeyResponse(api_key=convert.api_key(key), key=text)

    def ListApiKeys(self, request: pb.ListApiKeysRequest, caller: Caller) -> pb.ListApiKeysResponse:
        page = pagination.page(caller, request, partial(lists.keys_page, request.project_ids))
        return pb.ListApiKeysResponse(
            api_keys=[convert.api_key(row) for row in page.rows], next_page_token=page.next_token
        )

    def RevokeApiKey(self, request: pb.RevokeApiKeyRequest, caller: Caller) -> pb.RevokeApiKeyResponse:
        projects.revoke_key(request.api_key_id, self._clock(), by=caller.key_id)
        return pb.RevokeApiKeyResponse(api_key=convert.api_key(projects.key(request.api_key_id)))
