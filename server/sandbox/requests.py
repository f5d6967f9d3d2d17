"""What browsers and apps send to the sandbox platform, read without trust."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import parse_qsl

from starlette.datastructures import QueryParams
from starlette.requests import Request

CLIENT_ID = "hitchpost-sandbox"
SCOPES = {
    "profile.read": "See the name, handle and picture of the accounts you choose",
    "posts.read": "See what these accounts have posted",
    "posts.write": "Publish posts as these accounts",
}
MAX_VALUE = 2_000
MAX_QUERY = 8_000
MAX_FIELDS = 32
MAX_PAGES = 10

_HANDLE = re.compile(r"[a-z0-9_.-]{1,30}")
_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class BadRequest(Exception):
    """The request can't be understood; the text is shown to the sender and holds nothing that was sent."""


class AuthorizationRefused(Exception):
    """An error that RFC 6749 4.1.2.1 sends back to the app."""

    def __init__(self, error: str, description: str, state: str | None) -> None:
        super().__init__(description)
        self.error = error
        self.state = state


@dataclass(frozen=True, slots=True)
class AuthorizationRequest:
    """A valid authorization request; `query` is the query string that it came in."""

    state: str
    challenge: str
    scopes: tuple[str, ...]
    login_hint: str
    query: str


def authorization_request(query: str, redirect_uri: str) -> AuthorizationRequest:
    """Checks an authorization request of the one app there is.

    Raises BadRequest while it is not certain that the request is the app's, since nothing may be sent
    to the redirect_uri before, and AuthorizationRefused after that.
    """
    if len(query) > MAX_QUERY:
        raise BadRequest("The address is too long.")
    params = QueryParams(query)
    if params.getlist("client_id") != [CLIENT_ID]:
        raise BadRequest("The app that sent you here (client_id) is not known.")
    if params.getlist("redirect_uri") != [redirect_uri]:
        raise BadRequest("The address to return to (redirect_uri) is not the one registered for the app.")
    try:
        values = single_values(params.multi_items())
    except BadRequest as error:
        raise AuthorizationRefused("invalid_request", str(error), _state(params)) from None
    return _checked(values, query)


def _checked(values: dict[str, str], query: str) -> AuthorizationRequest:
    state = values.get("state")
    challenge = values.get("code_challenge", "")
    scopes = tuple(values.get("scope", "").split())
    if not state:
        raise AuthorizationRefused("invalid_request", "state is required", None)
    if "response_type" not in values:
        raise AuthorizationRefused("invalid_request", "response_type is required", state)
    if values["response_type"] != "code":
        raise AuthorizationRefused("unsupported_response_type", "response_type must be code", state)
    if values.get("code_challenge_method") != "S256":
        raise AuthorizationRefused("invalid_request", "code_challenge_method must be S256", state)
    if not _CHALLENGE.fullmatch(challenge):
        raise AuthorizationRefused(
            "invalid_request", "code_challenge must be 43 characters, base64url", state
        )
    if not scopes or not set(scopes) <= SCOPES.keys():
        raise AuthorizationRefused("invalid_scope", f"scope must be some of: {' '.join(SCOPES)}", state)
    return AuthorizationRequest(
        state, challenge, tuple(dict.fromkeys(scopes)), values.get("login_hint", ""), query
    )


def _state(params: QueryParams) -> str | None:
    match params.getlist("state"):
        case [state] if state and len(state) <= MAX_VALUE and not _CONTROL.search(state):
            return state
    return None


def single_values(items: Iterable[tuple[str, str]], max_length: int = MAX_VALUE) -> dict[str, str]:
    """The parameters by name. Raises BadRequest for a repeated or too long one, or control characters."""
    values: dict[str, str] = {}
    for name, value in items:
        if name in values:
            raise BadRequest("A parameter is given more than once.")
        if len(value) > max_length or _CONTROL.search(value):
            raise BadRequest(f"A parameter has control characters or more than {max_length} characters.")
        values[name] = value
    return values


def bearer_token(request: Request) -> str:
    """The access token of a call; "" when it has none."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def form(request: Request) -> QueryParams:
    """The body of a form. Raises BadRequest unless it is a small application/x-www-form-urlencoded one."""
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != "application/x-www-form-urlencoded":
        raise BadRequest("The content type must be application/x-www-form-urlencoded.")
    body: bytes | None = request.state.body
    if body is None:
        raise BadRequest("The form is too large.")
    try:
        fields = parse_qsl(body.decode(errors="replace"), keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError:
        raise BadRequest("The form has too many fields.") from None
    return QueryParams(fields)


def handle(text: str) -> str:
    """A handle, without the spaces around it. Raises BadRequest when it is none."""
    if not _HANDLE.fullmatch(text.strip()):
        raise BadRequest("A handle has 1 to 30 characters: a-z, 0-9, underscore, dot and hyphen.")
    return text.strip()


def page_handles(text: str, own: str) -> list[str]:
    """Handles joined by commas, each once and without the login's own. Raises BadRequest."""
    pages = [handle(part) for part in text.split(",") if part.strip()]
    pages = [page for page in dict.fromkeys(pages) if page != own]
    if len(pages) > MAX_PAGES:
        raise BadRequest(f"A login manages at most {MAX_PAGES} pages.")
    return pages
