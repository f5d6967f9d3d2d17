"""Every platform that this server can publish to: a publisher for each, here and nowhere else."""

from collections.abc import Iterable, Iterator

from server.platforms.http import Http
from server.publish.bluesky import BlueskyPublisher
from server.publish.mastodon import MastodonPublisher
from server.publish.media import Media
from server.publish.publisher import Publisher
from server.publish.sandbox import SandboxPublisher


class Publishers:
    """The publishers by the names of their platforms."""

    def __init__(self, publishers: Iterable[Publisher]) -> None:
        self._publishers = {publisher.platform: publisher for publisher in publishers}

    def __iter__(self) -> Iterator[Publisher]:
        return iter(self._publishers.values())

    def of(self, platform: str) -> Publisher | None:
        """The platform's; None when nothing can be published there yet."""
        return self._publishers.get(platform)


def load(public_url: str, *, allow_private: bool = False, without: Iterable[str] = ()) -> Publishers:
    """All of them but those of platforms `without`; for the arguments see server.platforms.load."""
    http = Http(allow_private=allow_private, trusted=[public_url])
    media = Media(http.named("media"))
    known: list[Publisher] = [
        SandboxPublisher(public_url, http.named("sandbox"), media),
        BlueskyPublisher(http.named("bluesky"), media),
        MastodonPublisher(http.named("mastodon"), media),
    ]
    return Publishers(publisher for publisher in known if publisher.platform not in without)
