"""The settings as a list for people: what there is, and what holds here, without secrets."""

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import NamedTuple
from urllib.parse import quote, urlsplit

from psycopg2.extensions import parse_dsn
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from server.config import Settings
from server.run.mistakes import PREFIX

# How a description ends that says what holds when the variable is not set.
_IN_WORDS = re.compile(r"; (?:default|unset): (.*)$")
# Parameters of a database URL that hold no secret; libpq has others that do, and gets new ones.
_OPEN_PARAMETERS = ("hostaddr", "sslmode", "sslrootcert", "target_session_attrs", "application_name")


class Described(NamedTuple):
    """A variable, what holds when it is not set, and what it is for."""

    variable: str
    default: str
    meaning: str


class Effective(NamedTuple):
    """A variable, its value as it may be shown, and where that is from: `environment` or `default`."""

    variable: str
    value: str
    origin: str


def described() -> list[Described]:
    """Every setting, in the order of Settings."""
    return [_described(name, field) for name, field in Settings.model_fields.items()]


def effective(settings: Settings) -> Iterator[Effective]:
    """Every setting as it holds here. Of secrets only that they are set."""
    for name, field in Settings.model_fields.items():
        origin = "environment" if name in settings.model_fields_set else "default"
        shown = _shown(name, getattr(settings, name))
        variable, default, _ = _described(name, field)
        yield Effective(variable, shown or f"({default})", origin)


def _described(name: str, field: FieldInfo) -> Described:
    description = field.description or ""
    meaning, *words = _IN_WORDS.split(description)
    default = words[0] if words else _shown(name, field.get_default(call_default_factory=False))
    return Described(PREFIX + name.upper(), default or "none", meaning)


def _shown(name: str, value: object) -> str:
    """Empty for what is not set."""
    match value:
        case None:
            return ""
        case SecretStr():
            return _secret(name, value.get_secret_value())
        case bool():
            return str(value).lower()
        case timedelta():
            return f"{value.total_seconds():g}"
        case tuple():
            return ",".join(map(str, value))
        case str() if "://" in value:
            return _without_password(value)
        case _:
            return str(value)


def _secret(name: str, value: str) -> str:
    match name:
        case "database_url":
            return _database_url(value)
        case "encryption_keys":
            count = value.count(",") + 1
            return f"set ({count} key{'' if count == 1 else 's'})"
        case _:
            return "set"


def _without_password(url: str) -> str:
    """A URL of the web without what browsers would log in with, and without its query."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def _database_url(url: str) -> str:
    """The database's URL put together anew, of what is known to be no secret."""
    parts = parse_dsn(url)
    hosts = parts.get("host", "").split(",")
    ports = parts.get("port", "").split(",")
    # One port is that of all hosts.
    ports = ports * len(hosts) if len(ports) == 1 else ports
    authority = ",".join(
        f"{_host(host)}:{port}".rstrip(":") for host, port in zip(hosts, ports, strict=False)
    )
    user = f"{parts['user']}@" if "user" in parts else ""
    query = "&".join(f"{name}={parts[name]}" for name in _OPEN_PARAMETERS if name in parts)
    return f"postgresql://{user}{authority}/{parts.get('dbname', '')}{'?' if query else ''}{query}"


def _host(host: str) -> str:
    """As it stands in a URL: the folder of a socket without slashes, an address of IPv6 in brackets."""
    return f"[{host}]" if ":" in host else quote(host, safe="")
