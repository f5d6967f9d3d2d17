"""Calls to an account's own server (PDS) with its tokens: a session's, or those of OAuth with their key."""

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import httpx2

from server.platforms.dpop import Dpop
from server.platforms.http import Http
from server.publish import bluesky_errors, calls
from server.publish.media import MediaFile
from server.publish.publisher import PublishFailed, Sending

NO_SERVER = (
    "Nobody has said which server these tokens are of: connect the account by OAuth or an app password, then "
    "RetrySocialPost."
)


class Pds:
    """An account's server, for one step: `url` is its address, `did` the account.

    Methods are named without their `com.atproto.`. All raise PublishFailed, and those with tokens
    TokenExpired."""

    def __init__(self, http: Http, sending: Sending) -> None:
        tokens = sending.sender.tokens
        if not {"did", "pds"} <= set(tokens.context):
            raise PublishFailed(bluesky_errors.AUTH, "ACCOUNT_SERVER_UNKNOWN", NO_SERVER)
        self.url = tokens.context["pds"]
        self.did = tokens.context["did"]
        self._http = http
        self._sending = sending
        self._token = tokens.access_token
        # Of a machine whose clock is wrong no server would take a signature; the database's is right.
        offset = sending.now.timestamp() - time.time()
        key = tokens.context.get("dpop_key")
        self._dpop = Dpop.of(key, lambda: time.time() + offset) if key else None

    def ask(self, method: str, parameters: Mapping[str, str | int]) -> dict[str, Any]:
        """What it answers to the account."""
        return self._call(lambda client: self._request(client, "GET", method, params=parameters))

    def look_up(self, method: str, parameters: Mapping[str, str]) -> httpx2.Response:
        """Its answer to a question that needs no tokens, whatever it is."""
        return self.answer(f"{self.url}/xrpc/com.atproto.{method}", parameters)

    def answer(self, url: str, parameters: Mapping[str, str]) -> httpx2.Response:
        """The same of any server."""
        return calls.ask(
            self._http,
            lambda client: client.get(url, params=parameters),
            self._sending.until,
            publishes=False,
        )

    def write(self, method: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """The same for a call that publishes. Raises Uncertain, too."""
        return self._call(lambda client: self._request(client, "POST", method, json=body), writes=True)

    def upload(self, file: MediaFile) -> dict[str, Any]:
        """A medium as a blob, as a record names it."""

        async def uploading(client: httpx2.AsyncClient) -> httpx2.Response:
            if self._dpop is not None:
                # So that the nonce is known before a large body is on its way.
                await self._request(client, "GET", "server.getSession")
            headers = {"Content-Type": file.content_type, "Content-Length": str(file.size)}
            return await self._request(client, "POST", "repo.uploadBlob", headers=headers, body=file.parts)

        blob = self._call(uploading, uploads=True).get("blob")
        if not isinstance(blob, dict):
            raise PublishFailed(
                bluesky_errors.PLATFORM, "an answer without blob", calls.AT_FAULT, retryable=True
            )
        return blob

    async def _request(
        self,
        client: httpx2.AsyncClient,
        verb: str,
        method: str,
        headers: Mapping[str, str] | None = None,
        body: Callable[[], Any] | None = None,
        **more: Any,
    ) -> httpx2.Response:
        url = f"{self.url}/xrpc/com.atproto.{method}"
        if self._dpop is not None:
            return await self._dpop.request(client, verb, url, self._token, headers, body, **more)
        if body is not None:
            more["content"] = body()
        bearer = {**(headers or {}), "Authorization": f"Bearer {self._token}"}
        return await client.request(verb, url, headers=bearer, **more)

    def _call(
        self,
        asking: Callable[[httpx2.AsyncClient], Awaitable[httpx2.Response]],
        *,
        writes: bool = False,
        uploads: bool = False,
    ) -> dict[str, Any]:
        response = calls.ask(self._http, asking, self._sending.until, publishes=writes)
        said = bluesky_errors.check(response, writes=writes, uploads=uploads)
        if pause := bluesky_errors.pause(response, writes=writes):
            scope, seconds = pause
            self._sending.pauses[scope] = max(seconds, self._sending.pauses.get(scope, 0.0))
        return said
