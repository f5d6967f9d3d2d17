"""What a platform's limits say of one part of a post: its text, its media, its poll."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from server.platforms import text_length
from server.platforms.limits import Counting, Limits
from server.platforms.media_types import kind_of, type_by_address, wrong_medium

Media = Sequence[Mapping[str, str]]


class Wrong(NamedTuple):
    """A field, by its path in the request, and what would be right."""

    field: str
    description: str


class Lengths:
    """The lengths of texts, each counted once for all accounts that count alike."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], int] = {}

    def of_text(self, before: str, text: str, limits: Limits) -> int:
        """Of a post's text, with what is folded before it."""
        how = (limits.counted_as, limits.url_counts_as, limits.mentions_without_domain)
        count = text_length.COUNTS[limits.counted_as]
        return self._once((*how, before, text), lambda: count(before) + text_length.length(text, limits))

    def of(self, text: str, counted_as: Counting) -> int:
        """Of any other text."""
        return self._once((counted_as, text), lambda: text_length.COUNTS[counted_as](text))

    def _once(self, key: tuple[object, ...], count: Callable[[], int]) -> int:
        if key not in self._known:
            self._known[key] = count()
        return self._known[key]


class PartChecks:
    """The limits of a platform, or of an account of it, as checks.

    `seen` has the types of media that somebody has looked at, by their addresses; of all others only what
    the address says is known."""

    def __init__(self, platform: str, limits: Limits, lengths: Lengths, seen: Mapping[str, str]) -> None:
        self.platform = platform
        self.limits = limits
        self._lengths = lengths
        self._seen = seen

    def text(self, path: str, before: str, text: str) -> Iterator[Wrong]:
        """A text; `before` is folded before it, and counts with it."""
        limits = self.limits
        if limits.most_characters is not None:
            yield from self._most(
                path, limits.most_characters, "characters", self._lengths.of_text(before, text, limits)
            )
        yield from self._most(path, limits.most_bytes, "bytes", len(before.encode()) + len(text.encode()))
        if limits.most_hashtags is not None:
            yield from self._most(path, limits.most_hashtags, "hashtags", text_length.hashtags(text))
        if limits.most_mentions is not None:
            yield from self._most(path, limits.most_mentions, "mentions", text_length.mentions(text))

    def media(self, path: str, media: Media) -> Iterator[Wrong]:
        """The media of a part: how many, which together, and what is told of each without looking at it."""
        yield from self._count(path, media)
        for index, medium in enumerate(media):
            content_type = self._type(medium)
            if wrong := wrong_medium(self.platform, self.limits, content_type):
                yield Wrong(f"{path}[{index}].url", wrong.description)
            most, counted_as = self._alt_text_limit(kind_of(content_type))
            if most is not None and (alt_text := medium.get("alt_text")):
                has = self._lengths.of(alt_text, counted_as)
                yield from self._most(f"{path}[{index}].alt_text", most, "characters", has)

    def _count(self, path: str, media: Media) -> Iterator[Wrong]:
        limits = self.limits
        kinds = [kind_of(self._type(medium)) for medium in media]
        images, videos = kinds.count("image"), kinds.count("video")
        if len(media) < limits.least_media:
            yield Wrong(path, f"must have at least {limits.least_media} media for {self.platform}")
        wrong = [
            *self._most(path, limits.most_media, "media", len(media)),
            *self._most(path, limits.most_images, "images", images),
            *self._most(path, limits.most_videos, "videos", videos),
        ]
        if not wrong and 0 < videos < len(media) and not limits.mixes_images_and_videos:
            wrong = [Wrong(path, f"must have images or a video for {self.platform}, not both")]
        yield from wrong[:1]

    def _alt_text_limit(self, kind: str | None) -> tuple[int | None, Counting]:
        """That of an image or of a video; the larger one while nobody knows which it is."""
        limits = self.limits
        image = limits.image_alt_text_characters, limits.image_alt_text_counted_as
        video = limits.video_alt_text_characters, limits.video_alt_text_counted_as
        if kind is not None:
            return video if kind == "video" else image
        return max(image, video, key=lambda limit: float("inf") if limit[0] is None else limit[0])

    def _type(self, medium: Mapping[str, str]) -> str | None:
        return self._seen.get(medium["url"]) or type_by_address(medium["url"])

    def poll(self, path: str, poll: Mapping[str, Any] | None, media: Media) -> Iterator[Wrong]:
        """A poll, as its message is in JSON, in a post with these media."""
        if poll is None:
            return
        limits = self.limits
        if limits.poll_options is None:
            yield Wrong(path, f"must not be there: {self.platform} has no polls")
            return
        if media and limits.poll_excludes_media:
            yield Wrong(path, f"must not be there together with media for {self.platform}")
        options = poll.get("options", ())
        yield from self._most(f"{path}.options", limits.poll_options, "options", len(options))
        for index, option in enumerate(options):
            has = text_length.COUNTS[limits.poll_option_counted_as](option)
            yield from self._most(
                f"{path}.options[{index}]", limits.poll_option_characters, "characters", has
            )
        yield from self._poll_duration(f"{path}.duration", poll.get("duration", "0s"))

    def _poll_duration(self, path: str, duration: str) -> Iterator[Wrong]:
        seconds = float(duration.removesuffix("s"))
        least, most = max(self.limits.poll_least_seconds, 1), self.limits.poll_most_seconds
        if seconds < least or (most is not None and seconds > most):
            longest = "" if most is None else f" and at most {most:,}"
            yield Wrong(path, f"must be at least {least:,}{longest} seconds for {self.platform}")

    def _most(self, path: str, most: int | None, what: str, has: int) -> Iterator[Wrong]:
        if most is not None and has > most:
            yield Wrong(path, f"must have at most {most:,} {what} for {self.platform}; has {has:,}")
