"""What platforms take in a post: limits.toml as objects, and what a single account may do instead.

Some limits are not the platform's but the account's: a Mastodon server has its own, and whoever pays X may
write more. What the platform has said of an account comes in the place of its row, name by name.
"""

import tomllib
from collections.abc import Mapping
from functools import lru_cache
from importlib import resources
from typing import Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

# How characters are counted: as code points of Unicode; as what people see as one (UAX 29); as X does.
Counting = Literal["characters", "graphemes", "weighted"]
Most = int | None


class Limits(BaseModel):
    """One row. None is no limit, beside those of SocialPost."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    # The pages that the row was read from.
    documentation: tuple[str, ...] = Field(min_length=1)

    # The text. Each link counts as so many characters, if that is said.
    most_characters: Most = Field(None, gt=0)
    counted_as: Counting = "characters"
    most_bytes: Most = Field(None, gt=0)
    url_counts_as: Most = Field(None, gt=0)
    mentions_without_domain: bool = False
    most_hashtags: Most = Field(None, ge=0)
    most_mentions: Most = Field(None, ge=0)

    # How many media, and of which kinds: a video is alone, unless they may be mixed.
    least_media: int = Field(0, ge=0)
    most_media: Most = Field(None, ge=0)
    most_images: Most = Field(None, ge=0)
    most_videos: Most = Field(None, ge=0)
    mixes_images_and_videos: bool = False

    # Each medium: what it is by its content, its size, and for an image width by height and their ratio.
    image_types: tuple[str, ...] = Field(())
    video_types: tuple[str, ...] = Field(())
    image_bytes: int = Field(gt=0)
    video_bytes: int = Field(gt=0)
    image_pixels: Most = Field(None, gt=0)
    least_image_ratio: float | None = Field(None, gt=0)
    most_image_ratio: float | None = Field(None, gt=0)
    image_alt_text_characters: Most = Field(None, ge=0)
    image_alt_text_counted_as: Counting = "characters"
    video_alt_text_characters: Most = Field(None, ge=0)
    video_alt_text_counted_as: Counting = "characters"

    # A poll, if the platform has them.
    poll_options: Most = Field(None, ge=2)
    poll_option_characters: Most = Field(None, gt=0)
    poll_option_counted_as: Counting = "characters"
    poll_least_seconds: int = Field(0, ge=0)
    poll_most_seconds: Most = Field(None, gt=0)
    poll_excludes_media: bool = True

    # What an account must have been permitted, by the platform's scopes: one of each list, as fnmatch has
    # patterns. The second is for posts with media.
    scopes: tuple[tuple[str, ...], ...] = Field(())
    media_scopes: tuple[tuple[str, ...], ...] = Field(())

    @property
    def media_types(self) -> tuple[str, ...]:
        """Of images, and of videos."""
        return self.image_types + self.video_types

    def most_media_bytes(self, content_type: str) -> int:
        """How large a medium of this type may be."""
        return self.video_bytes if content_type.startswith("video/") else self.image_bytes


# What nobody but this table says.
_FIXED = {"documentation", "scopes", "media_scopes"}
OWN_NAMES = frozenset(Limits.model_fields) - _FIXED


def read() -> dict[str, Limits]:
    """Every row by its platform. Raises ValueError when one lacks a fact, has an unknown or a wrong one."""
    return parse(resources.files(__package__).joinpath("limits.toml").read_text(encoding="utf-8"))


def parse(text: str) -> dict[str, Limits]:
    """The rows of a table in TOML. Raises ValueError as read."""
    return {name: _row(name, values) for name, values in tomllib.loads(text).items()}


def _row(name: str, values: dict[str, Any]) -> Limits:
    try:
        return Limits(**values)
    except ValidationError as error:
        wrong = error.errors()[0]
        where = ".".join(map(str, (name, *wrong["loc"])))
        raise ValueError(f"{where}: {wrong['msg']}") from None


# By platform. A platform that is not here can't be published to.
LIMITS: Mapping[str, Limits] = read()


def limits_of(platform: str, own: Mapping[str, Any] | None = None) -> Limits | None:
    """What an account may do: its platform's row, and in its place what the platform has said of it.

    What can't be a limit, or is unknown here, is left out. None for a platform without a row."""
    if platform not in LIMITS or not own:
        return LIMITS.get(platform)
    return _merged(platform, orjson.dumps(own, option=orjson.OPT_SORT_KEYS))


@lru_cache(maxsize=1024)
def _merged(platform: str, own: bytes) -> Limits:
    row = LIMITS[platform]
    return Limits(**{**row.model_dump(), **valid(orjson.loads(own), row)})


def valid(said: Mapping[str, Any], row: Limits) -> dict[str, Any]:
    """Of what a platform has said of an account, what can be a limit; to be stored, and read again."""
    named = {name: value for name, value in said.items() if name in OWN_NAMES}
    try:
        Limits(**{**row.model_dump(), **named})
    except ValidationError as error:
        wrong = {str(problem["loc"][0]) for problem in error.errors() if problem["loc"]}
        return {name: value for name, value in named.items() if name not in wrong}
    return named
