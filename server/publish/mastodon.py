"""Mastodon: media are uploaded and wait until the server has processed them, then the status is published.

A server keeps the Idempotency-Key of a status for an hour: the same call then brings the same status, and no
second one. Since servers are of many versions and makes, one is looked at first: some answer a repeated call
with an error, some publish twice while the first call is still at work, and some don't know the header.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import httpx2

from server.base.identity import utc_now
from server.platforms import mastodon_limits
from server.platforms.http import Http
from server.platforms.paths import at
from server.publish.calls import json_of
from server.publish.categories import PERMISSION
from server.publish.mastodon_content import status_of
from server.publish.mastodon_description import described, keeps_keys
from server.publish.mastodon_look import Sent, look
from server.publish.mastodon_server import (
    SCOPES,
    Server,
    identifier,
    unreadable,
)
from server.publish.media import Media, MediaFile
from server.publish.publisher import (
    MediaItem,
    NotPublished,
    NotYet,
    Publisher,
    PublishFailed,
    Sender,
    Sending,
    Step,
    Uncertain,
    Values,
)

# Of the hour that keys are kept: the call must have ended before it is over.
KEY_LIFE = timedelta(minutes=55)
# Older versions don't let a second call with the key wait for a first that is still at work (mastodon#37879).
AT_WORK = timedelta(minutes=2)
POLL_SECONDS = 3.0


class MastodonPublisher(Publisher):
    """Publishes at the servers of accounts, each its own."""

    platform = "mastodon"

    def __init__(self, http: Http, media: Media) -> None:
        self._http, self._media = http, media

    def steps(self, sending: Sending) -> Sequence[Step]:
        """See Publisher. All media are uploaded before the first is waited for."""
        media = range(len(sending.part.media))
        uploaded = [Step(f"media/{n}") for n in media]
        return [*uploaded, *(Step(f"ready/{n}") for n in media), Step("publish", publishes=True)]

    def plan(self, step: Step, sending: Sending) -> Values:  # noqa: ARG002
        """See Publisher."""
        return {"idempotency_key": sending.key}

    def run(self, step: Step, sending: Sending) -> Values:
        """See Publisher."""
        kind, _, number = step.name.partition("/")
        if kind == "media":
            return self._upload(sending, sending.part.media[int(number)])
        if kind == "ready":
            return self._wait(sending, sending.done[f"media/{number}"])
        return self._publish(sending)

    def _upload(self, sending: Sending, item: MediaItem) -> Values:
        _check_scope(sending.sender, "write:media")
        server = self._server(sending)
        with self._media.taken(item, self.platform, sending.sender.limits, sending.until) as file:
            answer = server.ask(lambda client: _uploading(client, server, file, item.alt_text), "media")
        media_id = identifier(json_of(answer))
        if media_id is None:
            raise unreadable("UNREADABLE")
        return {"media_id": media_id, "ready": answer.status_code != httpx2.codes.ACCEPTED}

    def _wait(self, sending: Sending, uploaded: Values) -> Values:
        if uploaded["ready"]:
            return {}
        path = f"/api/v1/media/{quote(uploaded['media_id'], safe='')}"
        answer = self._server(sending).get(path, "ready")
        if answer.status_code == httpx2.codes.PARTIAL_CONTENT:
            raise NotYet(POLL_SECONDS)
        return {}

    def _publish(self, sending: Sending) -> Values:
        _check_scope(sending.sender, "write:statuses")
        server, content = self._server(sending), status_of(sending)
        headers = {**server.authorized, "Idempotency-Key": sending.plan["idempotency_key"]}
        answer = server.ask(
            lambda client: client.post(f"{server.address}/api/v1/statuses", headers=headers, json=content),
            "reply" if "in_reply_to_id" in content else "publish",
            publishes=True,
        )
        if (wait := server.spent(answer)) is not None:
            sending.pauses["account"] = wait
        return _published(json_of(answer), server)

    def settle(self, step: Step, sending: Sending) -> Values:  # noqa: ARG002
        """See Publisher. Looks first; a key is of use only where it surely is kept."""
        assert sending.begun is not None
        server, content = self._server(sending), status_of(sending)
        seen = look(server, _sent(sending, content), sending.now)
        if seen.status is not None:
            return _published(seen.status, server)
        age = sending.now - sending.begun
        if age < AT_WORK:
            raise NotYet((AT_WORK - age).total_seconds())
        if seen.missing or (age < KEY_LIFE and keeps_keys(server)):
            raise NotPublished
        raise Uncertain("NOT_FOUND")

    def limits(self, sender: Sender, until: float) -> Values | None:
        """See Publisher: the server's own."""
        server = Server(self._http, sender, utc_now(), until)
        return mastodon_limits.limits(described(server))

    def _server(self, sending: Sending) -> Server:
        return Server(self._http, sending.sender, sending.now, sending.until)


async def _uploading(
    client: httpx2.AsyncClient, server: Server, file: MediaFile, description: str
) -> httpx2.Response:
    file.file.seek(0)
    name = f"media.{file.content_type.partition('/')[2]}"
    return await client.post(
        f"{server.address}/api/v2/media",
        headers=server.authorized,
        data={"description": description} if description else {},
        files={"file": (name, file.file, file.content_type)},
    )


def _sent(sending: Sending, content: Values) -> Sent:
    assert sending.begun is not None
    return Sent(
        text=sending.part.text,
        spoiler_text=content.get("spoiler_text", ""),
        visibility=content.get("visibility", ""),
        media_ids=frozenset(content.get("media_ids", ())),
        in_reply_to_id=content.get("in_reply_to_id"),
        begun=sending.begun,
    )


def _published(status: Any, server: Server) -> Values:
    """Its id, and its address if that is at the server; one of another make may be written elsewhere.

    Raises Uncertain for an answer without an id: it may be there."""
    status_id = identifier(status)
    if status_id is None:
        raise Uncertain("UNREADABLE")
    url = at(status, "url|uri")
    here = isinstance(url, str) and len(url) <= 2048 and url.startswith(f"{server.address}/")
    return {"id": status_id, "url": url if here else ""}


def _check_scope(sender: Sender, scope: str) -> None:
    """What isn't permitted is not tried. An account without scopes was imported: its server will say."""
    if sender.tokens.scopes and not {"write", scope} & set(sender.tokens.scopes):
        raise PublishFailed(PERMISSION, "SCOPE_MISSING", SCOPES)
