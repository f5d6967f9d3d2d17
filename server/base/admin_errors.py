"""What can go wrong with projects and the right to administer them; see errors.py."""

from generated.hitchpost.v1 import error_reason_pb2 as pb
from server.base.errors import HitchpostError, Kind


class ApiKeyNotAdmin(HitchpostError):
    """A key of a project was used for AdminService."""

    kind, reason = Kind.PERMISSION_DENIED, pb.ERROR_REASON_API_KEY_NOT_ADMIN
    message = "{method} takes an admin key; this one is a project's. hitchpost keys create --admin makes one."


class ApiKeyAdminOnly(HitchpostError):
    """An admin key was used for what is a project's."""

    kind, reason = Kind.PERMISSION_DENIED, pb.ERROR_REASON_API_KEY_ADMIN_ONLY
    message = "{method} takes a project's API key; this one is an admin key, for AdminService alone."


class ProjectNotFound(HitchpostError):
    """There is no project with this id."""

    kind, reason = Kind.NOT_FOUND, pb.ERROR_REASON_PROJECT_NOT_FOUND
    message = "There is no project {id}."


class ProjectNameTaken(HitchpostError):
    """A new project would be called as another one is."""

    kind, reason = Kind.ALREADY_EXISTS, pb.ERROR_REASON_PROJECT_NAME_TAKEN
    message = "There is a project named {name!r} already."


class ApiKeyNotFound(HitchpostError):
    """There is no API key with this id."""

    kind, reason = Kind.NOT_FOUND, pb.ERROR_REASON_API_KEY_NOT_FOUND
    message = "There is no API key {id}."
