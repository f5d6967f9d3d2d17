"""What `hitchpost apps` does: the methods of PlatformAppService for an operator, with the same checks.

A secret comes from a prompt, stdin or a file: what is on the command line, everybody on the machine can read
in the list of processes.
"""

import sys
from collections.abc import Iterator, Sequence
from getpass import getpass
from pathlib import Path
from typing import TypeVar

from google.protobuf.message import Message

from generated.hitchpost.v1 import platform_app_service_pb2 as pb
from generated.hitchpost.v1 import platform_pb2
from server.base.identity import Caller
from server.base.platform_names import platform_name, platform_number
from server.base.sizes import TOKEN
from server.projects.projects import CommandError
from server.projects.registered_apps import RegisteredApps
from server.rpc import pagination
from server.rpc.platform_apps import PlatformAppServicer
from server.rpc.validation import CHECKS, check

# More than a secret may have: what is longer is refused, and need not be read to its end.
MOST_BYTES = TOKEN
Request = TypeVar("Request", bound=Message)


class AppCommands:
    """The commands for one project."""

    def __init__(self, apps: RegisteredApps, project_id: str) -> None:
        self._servicer = PlatformAppServicer(apps)
        self._caller = Caller(project_id, "")

    def set(
        self,
        platform: str,
        client_id: str,
        client_secret: str | None,
        settings: Sequence[str],
        external_id: str | None,
    ) -> str:
        """The id of the app, which is in use now; each setting is NAME=VALUE. Raises InvalidArgument,
        CommandError."""
        request = pb.SetPlatformAppRequest(
            platform=platform_pb2.Platform.Name(platform_number(platform)),
            client_id=client_id,
            client_secret=client_secret,
            settings=_settings(settings),
            external_id=external_id,
        )
        return self._servicer.SetPlatformApp(_checked(request), self._caller).platform_app.id

    def lines(self) -> Iterator[str]:
        """Every app, newest first, in columns."""
        request = pb.ListPlatformAppsRequest(page_size=pagination.MAX_SIZE)
        while True:
            answer = self._servicer.ListPlatformApps(request, self._caller)
            yield from map(_line, answer.platform_apps)
            if not answer.next_page_token:
                return
            request.page_token = answer.next_page_token

    def delete(self, app_id: str) -> None:
        """Raises InvalidArgument, PlatformAppNotFound."""
        request = pb.DeletePlatformAppRequest(platform_app_id=app_id)
        self._servicer.DeletePlatformApp(_checked(request), self._caller)


def read_secret(file: str | None) -> str:
    """The secret from a file, `-` for stdin; without one from a prompt, or stdin that is no terminal.

    Without the end of its line. Raises CommandError, which does not say what was read.
    """
    if file is None and sys.stdin.isatty():
        secret = getpass("Client secret: ")
    else:
        secret = _read(file).removesuffix("\n").removesuffix("\r")
    if not secret:
        raise CommandError("The secret is empty; --no-secret leaves it as it is.")
    return secret


def _read(file: str | None) -> str:
    try:
        with sys.stdin.buffer if file in (None, "-") else Path(str(file)).open("rb") as stream:
            return stream.read(MOST_BYTES).decode()
    # Neither names what somebody has typed, who may have taken the option for the secret's.
    except OSError as error:
        raise CommandError(f"The file of --secret-file can't be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise CommandError("The secret is no text in UTF-8.") from None


def _settings(given: Sequence[str]) -> dict[str, str]:
    pairs = [one.partition("=") for one in given]
    settings = {name: value for name, _, value in pairs}
    if not all(separator for _, separator, _ in pairs) or len(settings) < len(pairs):
        raise CommandError("--setting takes NAME=VALUE, each name once.")
    return settings


def _checked(request: Request) -> Request:
    check(request, CHECKS[type(request)])
    return request


def _line(app: pb.PlatformApp) -> str:
    secret = "secret" if app.has_client_secret else "no secret"
    use = "in use"
    if app.HasField("retire_time"):
        use = f"retired {app.retire_time.ToDatetime():%Y-%m-%d %H:%M} UTC"
    return "\t".join((app.id, platform_name(app.platform), app.client_id, secret, use, app.external_id))
