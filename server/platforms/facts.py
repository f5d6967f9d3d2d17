"""The table of facts, platforms.toml, as objects: what a row may say, and that it says enough."""

import itertools
import re
import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

# `{name}` in a text stands for a value that is known when the text is used.
PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")
# What OAuth 2.0 calls an error that passes (RFC 6749, 4.1.2.1; RFC 8628, 3.5).
PASSING_ERRORS = ("server_error", "temporarily_unavailable", "slow_down")
# What every platform's texts may name. A row's `context` and `app_settings` add names of its own.
NAMES = {"version", "client_id", "client_secret", "redirect_uri", "scope", "instance"}
CALL_NAMES = {
    "token": NAMES | {"code", "code_verifier"},
    "long_lived": NAMES | {"access_token"},
    "refresh": NAMES | {"access_token", "refresh_token"},
    "revoke": NAMES | {"access_token", "token", "token_type_hint"},
    "registration": NAMES,
    "registered": NAMES,
}


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Call(_Row):
    """One request to a platform. Without `parameters` it has those of RFC 6749 or 7009; those that come out
    empty are left out."""

    url: str
    method: Literal["GET", "POST", "DELETE"] = "POST"
    encoding: Literal["query", "form", "json"] = "form"
    parameters: dict[str, str] | None = None
    headers: dict[str, str] = {}
    # Whether the client authenticates itself as the row says, beside what `parameters` have.
    authenticates: bool = True


class TokenFields(_Row):
    """Where a token endpoint's answer has what: paths, as answers.at has them."""

    access_token: str = "access_token"  # noqa: S105
    refresh_token: str = "refresh_token"  # noqa: S105
    expires_in: str = "expires_in"
    scope: str = "scope"


class ProfileFields(_Row):
    """Where an item has what a profile has: paths, as answers.at has them; empty for what the platform lacks.

    `display_name` may be several, with a space between: what is at each, joined in the same way.
    `platform_user_id` may be a `{name}` of the row's `context` instead, when only the token answer has it.
    """

    platform_user_id: str
    username: str = ""
    display_name: str = ""
    profile_photo_url: str = ""
    access_token: str = ""
    refresh_token: str = ""
    expires_in: str = ""


class ProfileSource(_Row):
    """A call that says which profiles a login shares.

    `items` is the path of the list of them, empty when the answer is one profile; an item without
    `only_with` is none, and where `may_lack_items`, an answer without the list has none, too. `next` is the
    path of the address of the next page, if there is one.
    """

    url: str
    parameters: dict[str, str] = {}
    headers: dict[str, str] = {}
    # How the call shows the access token: as RFC 6750 says, or in `parameters` or `headers`.
    bearer: bool = True
    items: str = ""
    may_lack_items: bool = False
    # Values, by path, without which an answer with HTTP 200 is a failure.
    success: dict[str, int | str] = {}
    next: str = ""
    only_with: str = ""
    fields: ProfileFields


def _call(value: object) -> object:
    return {"url": value} if isinstance(value, str) else value


CallOrUrl = Annotated[Call, BeforeValidator(_call)]


class Facts(_Row):
    """One row: a way to connect profiles of a platform."""

    # The pages that the row was read from.
    documentation: tuple[str, ...] = Field(min_length=1)
    # Of the platform's API: `{version}`.
    version: str = ""
    # Whose profiles they are, and whose app connects them.
    platform: str
    app_of: str
    # The typed options of CreateAuthUrl by which a caller chooses this row; none for the platform's first.
    chosen_by: dict[str, str] = {}
    # A client that everybody may use.
    client_id: str = ""
    # What an app has beside its id and secret: name, and whether it has to be there.
    app_settings: dict[str, bool] = {}
    # What the authorization server calls itself, if it says so in its answers (RFC 9207).
    issuer: str = ""

    authorize_url: str
    authorize_parameters: dict[str, str] = {}
    # Options that go into the address as they are.
    authorize_options: tuple[str, ...] = ()
    client_id_parameter: str = "client_id"
    # What the callback's address has to end with, for a platform that is particular about it.
    callback_ending: Literal["", "/"] = ""
    pkce: bool = True
    default_scopes: tuple[str, ...]
    scope_separator: str = " "

    token_endpoint_auth_method: Literal["client_secret_basic", "client_secret_post", "none"]
    token: CallOrUrl
    # Exchanges the token that the code has brought for one that lives longer.
    long_lived: CallOrUrl | None = None
    refresh: CallOrUrl | None = None
    # How old an access token has to be before it is refreshed, seconds.
    refresh_after: int = 0
    revoke: CallOrUrl | None = None
    # Which tokens are revoked: each, or only the one that ends both; the access token if there is no other.
    revokes: Literal["each", "access_token", "refresh_token"] = "each"
    # For a platform of many servers: how a server is told of an app, and asked whether it still knows one;
    # and where it describes itself (RFC 8414).
    registration: CallOrUrl | None = None
    registered: CallOrUrl | None = None
    discovery: str = ""
    answer: TokenFields = TokenFields()
    # What else of the token endpoint's answer later calls need: our name, and its path.
    context: dict[str, str] = {}
    # Values, by path, without which an answer with HTTP 200 is a failure.
    success: dict[str, int | str] = {}
    # Where a failure says what it is, and what it says when the tokens are dead, for good.
    error_code: str = "error"
    dead_tokens: tuple[int | str, ...] = ("invalid_grant",)
    # What it says there, and values by path, when the same call may succeed later.
    passing_errors: tuple[int | str, ...] = PASSING_ERRORS
    passing: dict[str, bool | int | str] = {}

    profiles: tuple[ProfileSource, ...] = ()

    @model_validator(mode="after")
    def _names_are_known(self) -> "Facts":
        own = set(self.context) | set(self.app_settings)
        for kind, names in CALL_NAMES.items():
            call: Call | None = getattr(self, kind)
            if call is not None:
                texts = [call.url, *(call.parameters or {}).values(), *call.headers.values()]
                _check(kind, texts, names | own)
        _check("authorize", [self.authorize_url, *self.authorize_parameters.values()], NAMES | own)
        for source in self.profiles:
            texts = [source.url, *source.parameters.values(), *source.headers.values()]
            _check("profiles", texts, NAMES | own | {"access_token"})
            _check("profiles", [source.fields.platform_user_id], set(self.context))
        return self


def _check(kind: str, texts: list[str], names: set[str]) -> None:
    unknown = {name for text in texts for name in PLACEHOLDER.findall(text)} - names
    if unknown:
        raise ValueError(f"{kind}: unknown {{{min(unknown)}}}")


def fill(text: str, values: Mapping[str, str]) -> str:
    """The text with its values; those that are not there are empty."""
    return PLACEHOLDER.sub(lambda found: values.get(found[1], ""), text)


def filled(texts: Mapping[str, str], values: Mapping[str, str]) -> dict[str, str]:
    """Each of the texts with its values, without those that come out empty."""
    return {name: text for name, raw in texts.items() if (text := fill(raw, values))}


def read(public_url: str, more: Path | None = None) -> dict[str, Facts]:
    """Every row by its name: those of platforms.toml, and those of a file, which come in their place.

    Raises ValueError when a row lacks a fact, has an unknown one or a wrong one; and OSError.
    """
    ours = resources.files(__package__).joinpath("platforms.toml").read_text(encoding="utf-8")
    texts = [ours] if more is None else [ours, more.read_text(encoding="utf-8")]
    return parse(*(text.replace("{public_url}", public_url) for text in texts))


def parse(*texts: str) -> dict[str, Facts]:
    """The rows of tables in TOML, as read has them; `like` names a row before, for what a row doesn't say."""
    rows: dict[str, dict[str, Any]] = {}
    for name, row in itertools.chain.from_iterable(tomllib.loads(text).items() for text in texts):
        like = row.pop("like", None)
        if like is not None and like not in rows:
            raise ValueError(f"{name}: there is no row {like} before it")
        rows[name] = {"platform": name, "app_of": name, **rows.get(like, {}), **row}
    return {name: _facts(name, row) for name, row in rows.items()}


def _facts(name: str, row: dict[str, Any]) -> Facts:
    try:
        return Facts(**row)
    except ValidationError as error:
        wrong = error.errors()[0]
        where = ".".join(map(str, (name, *wrong["loc"])))
        raise ValueError(f"{where}: {wrong['msg']}") from None
