"""The table of facts, platforms.toml, as objects."""

import tomllib
from dataclasses import dataclass
from importlib import resources
from typing import Any


@dataclass(frozen=True, slots=True)
class ProfileFields:
    """The platform's names for what a profile has."""

    platform_user_id: str
    username: str
    display_name: str
    profile_photo_url: str
    access_token: str
    refresh_token: str
    expires_in: str


@dataclass(frozen=True, slots=True)
class Facts:
    """One platform's row."""

    authorize_url: str
    token_url: str
    revoke_url: str
    profiles_url: str
    client_id: str
    token_endpoint_auth_method: str
    default_scopes: tuple[str, ...]
    scope_separator: str
    profiles_list: str
    profile: ProfileFields


def read(public_url: str) -> dict[str, Facts]:
    """Every platform's facts by its name. Raises TypeError when a row lacks a fact or has an unknown one."""
    text = resources.files(__package__).joinpath("platforms.toml").read_text(encoding="utf-8")
    return {name: _facts(row, public_url) for name, row in tomllib.loads(text).items()}


def _facts(row: dict[str, Any], public_url: str) -> Facts:
    urls = {key: url.replace("{public_url}", public_url) for key, url in row.items() if key.endswith("_url")}
    tables = {"default_scopes": tuple(row["default_scopes"]), "profile": ProfileFields(**row["profile"])}
    return Facts(**(row | urls | tables))
