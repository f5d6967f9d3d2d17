"""Asking servers whose addresses a stranger has chosen: what they say is read without trust."""

import re
from typing import Any

import httpx2

from server.base.sizes import TOKEN
from server.platforms import answers
from server.platforms.failures import TRANSIENT_STATUSES, PlatformRefused, PlatformUnreachable
from server.platforms.http import Http

# A server's address and nothing more: no path, no query, no user name.
ORIGIN = re.compile(r"(https?)://([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?|\[[0-9a-f:.]+\])(:[1-9][0-9]{0,4})?/?")


class Strangers:
    """Requests to strangers' servers, by https alone unless private addresses are allowed."""

    def __init__(self, http: Http) -> None:
        self._http = http
        self.allows_private = http.allows_private
        self._schemes = ("https", "http") if http.allows_private else ("https",)

    def client(self) -> httpx2.AsyncClient:
        """A client for one call, to be used inside http.run. It follows no redirect."""
        return httpx2.AsyncClient(**self._http.options())

    def origin(self, url: object) -> str:
        """The address of a server, without a final slash. Raises PlatformRefused for anything else."""
        found = ORIGIN.fullmatch(url.lower()) if isinstance(url, str) and len(url) <= 512 else None
        if found is None or found[1] not in self._schemes:
            raise PlatformRefused("an address that is not that of a server, by https")
        return found[0].removesuffix("/")

    def endpoint(self, url: object) -> str:
        """The address of a page. Raises PlatformRefused for anything else."""
        try:
            parsed = httpx2.URL(url) if isinstance(url, str) and len(url) <= 2048 else None
        except httpx2.InvalidURL:
            parsed = None
        if parsed is None or parsed.scheme not in self._schemes or not parsed.host or parsed.userinfo:
            raise PlatformRefused("an address that is not that of a page, by https")
        return str(parsed)


def json_object(response: httpx2.Response) -> dict[str, Any]:
    """The object in an answer of status 2xx. Raises PlatformUnreachable for every other one."""
    if not response.is_success:
        raise PlatformUnreachable(f"HTTP {response.status_code}")
    return parsed(response)


def parsed(response: httpx2.Response) -> dict[str, Any]:
    """The object in an answer. Raises PlatformUnreachable if there is none."""
    try:
        body = response.json()
    except (ValueError, RecursionError):
        raise PlatformUnreachable("an answer that is no JSON") from None
    if not isinstance(body, dict):
        raise PlatformUnreachable("an answer that is no object")
    return body


def error_code(response: httpx2.Response) -> str:
    """What an answer that is no success calls its reason; "" if nothing. Raises PlatformUnreachable if the
    same may go well later.
    """
    if response.status_code in TRANSIENT_STATUSES or not 400 <= response.status_code < 500:
        raise PlatformUnreachable(f"HTTP {response.status_code}")
    try:
        code = parsed(response).get("error")
    except PlatformUnreachable:
        return ""
    return code if isinstance(code, str) else ""


def text(body: dict[str, Any], name: str, most: int = TOKEN) -> str:
    """A text of an answer, in printable ASCII. Raises PlatformUnreachable if it is anything else."""
    try:
        return answers.token(body.get(name), most)
    except ValueError:
        raise PlatformUnreachable(f"an answer without {name}") from None
