"""What `hitchpost serve` prints when it is ready."""

import os
import shutil
import sys
from collections.abc import Set
from pathlib import Path

from server.config import Settings

DEV_MODE = (
    "*** DEV MODE, not for production: that needs HITCHPOST_DATABASE_URL, and no HITCHPOST_DEV_MODE ***"
)


def banner(settings: Settings, roles: Set[str], dev_key_file: Path, shown_key: str | None) -> str:
    """The addresses of the roles, and in dev mode where its key is, or the key itself if it may be shown."""
    lines = ["Hitchpost is ready."]
    if settings.dev_mode:
        lines.append(DEV_MODE)
    if "grpc" in roles:
        lines.append(f"  gRPC     {settings.grpc_address}{_own_ports(settings)}")
    if "web" in roles:
        lines.append(f"  web      {settings.public_url}")
    if settings.dev_mode:
        lines += [f"  dev key  {shown_key or f'in {dev_key_file}'}", *_examples(settings, dev_key_file)]
    return "\n".join(lines)


def _own_ports(settings: Settings) -> str:
    own = settings.own_addresses
    return f", and each worker by itself at {own[0]} to {own[-1].rpartition(':')[2]}" if own else ""


def _examples(settings: Settings, dev_key_file: Path) -> list[str]:
    """Three lines to paste into a shell, in this order."""
    transport = "-cacert ca.pem" if settings.tls_cert else "-plaintext"
    call = f'{_grpcurl()} {transport} -H "authorization: Bearer $(cat {dev_key_file})"'
    sandbox = '"platform": "PLATFORM_SANDBOX", "external_id": "user_123"'
    profile = '"platform_user_id": "42", "username": "mia", "access_token": "example"'
    calls = {
        "CreateAuthUrl": f"{{{sandbox}}}",
        "ImportSocialAccount": f"{{{sandbox}, {profile}}}",
        "ListSocialAccounts": '{"external_ids": ["user_123"]}',
    }
    target = f"{settings.grpc_address} hitchpost.v1.SocialAccountService"
    lines = [f"{call} -d '{body}' {target}/{method}" for method, body in calls.items()]
    # grpcurl writes & as \u0026, and the first line's answer is an address to open in a browser.
    lines[0] += r" | sed 's/\\u0026/\&/g'"
    return ["", "Try it in another terminal, in this folder:", "", *lines]


def _grpcurl() -> str:
    if shutil.which("grpcurl"):
        return "grpcurl"
    beside = Path(sys.executable).parent / "grpcurl"
    return os.path.relpath(beside) if beside.exists() else "grpcurl"
