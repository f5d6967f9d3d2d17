"""Publishing to Bluesky, and to every other server of the AT Protocol.

A post is a record in its account's repository, under a key that we choose. That key is what makes it one post
however often it is sent: the server keeps one record under it, and the same once more changes nothing. Since
putRecord would also replace a record, it is told that there must be none.
"""

import asyncio
from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any

import httpx2

from server.platforms.http import Http
from server.publish import (
    bluesky_card,
    bluesky_errors,
    bluesky_media,
    bluesky_record,
    bluesky_text,
    calls,
    categories,
)
from server.publish.bluesky_calls import Pds
from server.publish.bluesky_record import REPLIED
from server.publish.bluesky_video import NotServed, VideoService
from server.publish.media import Media, MediaFile
from server.publish.publisher import (
    MediaItem,
    NotPublished,
    Publisher,
    PublishFailed,
    Sending,
    Step,
    Uncertain,
    Values,
)

MENTIONS, PROCESSED, CARD, PUBLISH = "mentions", "processed", "card", "publish"
NO_HANDLE = {400, 404}


class BlueskyPublisher(Publisher):
    """See Publisher. For accounts that were connected: imported tokens don't say whose server they are of."""

    platform = "bluesky"

    def __init__(self, http: Http, media: Media, video: VideoService | None = None) -> None:
        self._http = http
        self._media = media
        self._video = video or VideoService(http)

    def steps(self, sending: Sending) -> Sequence[Step]:
        """Mentions are looked up and media uploaded before anything is published, so that the record is the
        same whenever it is sent."""
        part = sending.part
        names = [REPLIED] if bluesky_record.unnamed(sending) else []
        names += [MENTIONS] if bluesky_text.handles(part.text) else []
        names += [f"media/{index}" for index in range(len(part.media))]
        if len(part.media) == 1:
            # It may be a video; that is not known before it is fetched.
            names.append(PROCESSED)
        if not part.media and bluesky_text.first_link(part.text) and not sending.options.get("no_link_card"):
            names.append(CARD)
        return [*map(Step, names), Step(PUBLISH, publishes=True)]

    def plan(self, step: Step, sending: Sending) -> Values:  # noqa: ARG002
        """The record's key, and the whole record: whoever repeats it may be of a newer version."""
        done = sending.done
        dids = done.get(MENTIONS, {}).get("dids", {})
        embed = bluesky_record.card_embed(done.get(CARD, {}))
        if sending.part.media:
            media = [done[f"media/{index}"] for index in range(len(sending.part.media))]
            embed = bluesky_record.media_embed(
                sending.part.media, [{**media[0], **done.get(PROCESSED, {})}, *media[1:]]
            )
        record = bluesky_record.record(sending, dids, embed)
        return {"rkey": bluesky_record.record_key(sending.now, sending.key), "record": record}

    def run(self, step: Step, sending: Sending) -> Values:
        """See Publisher."""
        pds = Pds(self._http, sending)
        if step.name == PUBLISH:
            return self._publish(pds, sending)
        if step.name == REPLIED:
            return {"named": [self._named(pds, sending, index) for index in bluesky_record.unnamed(sending)]}
        if step.name == MENTIONS:
            return {"dids": self._dids(pds, bluesky_text.handles(sending.part.text), sending)}
        if step.name == CARD:
            return self._card(pds, sending)
        if step.name == PROCESSED:
            return self._processed(pds, sending)
        return self._medium(pds, sending, int(step.name.removeprefix("media/")))

    def settle(self, step: Step, sending: Sending) -> Values:  # noqa: ARG002
        """Asks whether the record is there: that needs no token, so it is also told when the account was
        disconnected since, and when sending again would fail for another reason. If it is not, sending it
        again is safe, even if the call before is still on its way: both make one record.
        """
        pds, rkey = Pds(self._http, sending), sending.plan["rkey"]
        response = pds.look_up("repo.getRecord", bluesky_record.which(pds.did, rkey))
        try:
            found = bluesky_errors.check(response)
        except PublishFailed as error:
            if error.code == "RecordNotFound":
                raise NotPublished from None
            if error.retryable:
                raise
            raise Uncertain(error.code) from None
        if not _is_same(found.get("value"), sending.plan["record"]):
            raise NotPublished
        return _result(pds, rkey, found)

    def _publish(self, pds: Pds, sending: Sending) -> Values:
        rkey = sending.plan["rkey"]
        said = pds.write(
            "repo.putRecord",
            {
                **bluesky_record.which(pds.did, rkey),
                "record": sending.plan["record"],
                # There is none yet. The same record is no change, and so is not refused.
                "swapRecord": None,
            },
        )
        return _result(pds, rkey, said)

    def _named(self, pds: Pds, sending: Sending, index: int) -> Values:
        """How a reply names a post of which somebody has said by its address alone that it is there."""
        published = sending.published[index]
        rkey = bluesky_record.key_in(published.get("url") or published.get("id") or "")
        try:
            if rkey:
                which = bluesky_record.which(pds.did, rkey)
                return _result(pds, rkey, bluesky_errors.check(pds.look_up("repo.getRecord", which)))
        except PublishFailed as error:
            if error.retryable:
                raise
        raise PublishFailed(categories.CONTENT, "REPLY_UNKNOWN", bluesky_errors.NO_POST)

    def _dids(self, pds: Pds, handles: Sequence[str], sending: Sending) -> dict[str, str]:
        """Whose these handles are, as the account's server knows it. One that is nobody's is left out."""

        async def asking(client: httpx2.AsyncClient) -> list[httpx2.Response]:
            url = f"{pds.url}/xrpc/com.atproto.identity.resolveHandle"
            return list(
                await asyncio.gather(*(client.get(url, params={"handle": handle}) for handle in handles))
            )

        responses = calls.ask(self._http, asking, sending.until, publishes=False)
        found = {
            handle: bluesky_errors.check(response).get("did")
            for handle, response in zip(handles, responses, strict=True)
            if response.status_code not in NO_HANDLE
        }
        return {handle: did for handle, did in found.items() if isinstance(did, str)}

    def _card(self, pds: Pds, sending: Sending) -> Values:
        url = bluesky_text.first_link(sending.part.text) or ""
        page = bluesky_card.read(self._http.named("media"), url, sending.until)
        if page is None:
            return {}
        external: dict[str, Any] = {"uri": url, "title": page.title, "description": page.description}
        if page.image_url and (thumb := self._thumb(pds, page.image_url, sending)):
            external["thumb"] = thumb
        return {"external": external}

    def _thumb(self, pds: Pds, url: str, sending: Sending) -> Values | None:
        """A card's picture as a blob; None for one that can't be had, or that the server does not take."""
        until = bluesky_card.deadline(sending.until)
        try:
            with self._media.fetched(MediaItem(url), bluesky_media.THUMB_BYTES, until) as file:
                return pds.upload(file) if file.content_type.startswith("image/") else None
        except PublishFailed as error:
            if error.category == categories.MEDIA:
                return None
            raise

    def _medium(self, pds: Pds, sending: Sending, index: int) -> Values:
        """A blob, or a job of the video service that will have one."""
        with self._fetched(sending, index) as file:
            video = bluesky_media.is_video(file, alone=len(sending.part.media) == 1)
            ratio = bluesky_media.aspect_ratio(file)
            medium = {"kind": "video" if video else "image", **({"aspect_ratio": ratio} if ratio else {})}
            return {**medium, **self._given(pds, file, sending, video=video)}

    def _fetched(self, sending: Sending, index: int) -> AbstractContextManager[MediaFile]:
        item = sending.part.media[index]
        return self._media.taken(item, self.platform, sending.sender.limits, sending.until)

    def _given(self, pds: Pds, file: MediaFile, sending: Sending, *, video: bool) -> Values:
        if video:
            try:
                return {"job": self._video.submit(pds, file, sending), "submitted": sending.now.isoformat()}
            except NotServed:
                pass
        return {"blob": pds.upload(file)}

    def _processed(self, pds: Pds, sending: Sending) -> Values:
        """The blob of a video that the service has; nothing for a medium that has its blob."""
        medium = sending.done["media/0"]
        if "job" not in medium:
            return {}
        submitted = datetime.fromisoformat(medium["submitted"])
        try:
            return {"blob": self._video.result(pds, medium["job"], submitted, sending)}
        except NotServed:
            with self._fetched(sending, 0) as file:
                return {"blob": pds.upload(file)}


def _is_same(value: Any, record: Values) -> bool:
    """Whether what is there is what we have sent, and not another post that has our key by chance."""
    return isinstance(value, dict) and all(
        value.get(name) == record.get(name) for name in ("text", "createdAt")
    )


def _result(pds: Pds, rkey: str, said: Values) -> Values:
    if not (isinstance(said.get("uri"), str) and isinstance(said.get("cid"), str)):
        raise Uncertain("an answer without uri and cid")
    return bluesky_record.result(pds.did, rkey, said)
