"""What an environment says by mistake: settings that don't exist, production where dev mode would start."""

import difflib
import ipaddress
import re
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from server.config import Settings

PREFIX = "HITCHPOST_"
# What the programs of docs/clients.md read; they may be run from the same shell.
OF_CLIENTS = {"HITCHPOST_ADDRESS", "HITCHPOST_KEY"}
# What Kubernetes gives to every container beside a service whose name begins with hitchpost.
OF_KUBERNETES = re.compile(
    r"HITCHPOST_(\w+_)?(SERVICE_HOST=.*|SERVICE_PORT(_\w+)?=\d+"
    r"|PORT=(tcp|udp|sctp)://.*|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?=.*)"
)


class SettingsRefused(Exception):
    """The settings can't be meant so; the text says why, and every way out."""


def refuse_unknown(environment: Mapping[str, str]) -> None:
    """Raises SettingsRefused when the environment has a HITCHPOST_ variable that nothing reads."""
    settings = [name.upper() for name in Settings.model_fields]
    known = OF_CLIENTS | {PREFIX + name for name in settings}
    refused = [
        _refusal(name, settings)
        for name, value in sorted(environment.items())
        if name.upper().startswith(PREFIX)
        and name.upper() not in known
        and not OF_KUBERNETES.fullmatch(f"{name}={value}")
    ]
    if refused:
        raise SettingsRefused("; ".join(refused))


def _refusal(name: str, settings: list[str]) -> str:
    # Without the prefix, which would make all of them alike.
    nearest = difflib.get_close_matches(name[len(PREFIX) :].upper(), settings, n=1, cutoff=0.5)
    way_out = (
        f"did you mean {PREFIX}{nearest[0]}?"
        if nearest
        else "unset it; hitchpost serve --help lists them all"
    )
    return f"there is no setting {name} ({way_out})"


def refuse_empty_owner(environment: Mapping[str, str]) -> None:
    """Raises SettingsRefused for an owner that is empty: it counts as unset elsewhere, but whoever wrote it
    wants calls to be confined."""
    name = PREFIX + "MCP_EXTERNAL_ID"
    if any(found.upper() == name and not value for found, value in environment.items()):
        raise SettingsRefused(f"{name} is empty; it must be an owner, or unset, which confines to none")


def refuse_accidental_dev_mode(settings: Settings) -> None:
    """Raises SettingsRefused when only a missing database URL would start dev mode, and other settings
    say that production is meant."""
    asked_for = settings.dev_mode and "dev_mode" in settings.model_fields_set
    signs = [PREFIX + name.upper() for name in _signs_of_production(settings)]
    if settings.database_url is None and signs and not asked_for:
        raise SettingsRefused(
            f"HITCHPOST_DATABASE_URL is not set, which would start dev mode with a database of its own; "
            f"but {' and '.join(signs)} look{'s' if len(signs) == 1 else ''} like production. For production "
            "set HITCHPOST_DATABASE_URL; for dev mode set HITCHPOST_DEV_MODE=true."
        )


def _signs_of_production(settings: Settings) -> Iterator[str]:
    """The names of settings that nobody needs who tries Hitchpost out on one machine."""
    for name in ("public_url", "callback_url"):
        url = urlsplit(getattr(settings, name))
        if name in settings.model_fields_set and (url.scheme == "https" or not _is_loopback(url.hostname)):
            yield name
    for name in ("encryption_keys", "tls_cert", "tls_key", "tls_client_ca"):
        if getattr(settings, name) is not None:
            yield name
    for name in ("grpc_address", "web_address"):
        if not _is_loopback(getattr(settings, name).rpartition(":")[0].strip("[]")):
            yield name
    if not settings.dev_mode:
        yield "dev_mode"


def _is_loopback(host: str | None) -> bool:
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return host == "localhost"
