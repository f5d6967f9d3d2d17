"""docs/limits.md has the table as it is."""

from pathlib import Path

from server.platforms.limits import LIMITS, Limits, Most

PAGE = Path(__file__).parents[2] / "docs" / "limits.md"


def _most(most: Most, what: str = "") -> str:
    return "no limit" if most is None else f"{most:,} {what}".strip()


def _text(row: Limits) -> str:
    texts = [_most(row.most_characters, row.counted_as)]
    texts += [_most(row.most_bytes, "bytes")] if row.most_bytes else []
    texts += [f"a link counts {row.url_counts_as}"] if row.url_counts_as else []
    texts += ["a mention counts without its server"] if row.mentions_without_domain else []
    return ", ".join(texts)


def _media(row: Limits) -> str:
    together = "and" if row.mixes_images_and_videos else "or"
    videos = "1 video" if row.most_videos == 1 else _most(row.most_videos, "videos")
    return f"{_most(row.most_images, 'images')} {together} {videos}, {_most(row.most_media)} in all"


def _types(types: tuple[str, ...], most_bytes: int) -> str:
    return f"{', '.join(kind.split('/')[1] for kind in types)}; {most_bytes:,} bytes"


def _alt_text(row: Limits) -> str:
    image = _most(row.image_alt_text_characters)
    video = _most(row.video_alt_text_characters)
    return image if image == video else f"{image}; of a video {video} {row.video_alt_text_counted_as}"


def _poll(row: Limits) -> str:
    if row.poll_options is None:
        return "none"
    return (
        f"{row.poll_options} options of {_most(row.poll_option_characters, row.poll_option_counted_as)}, "
        f"{row.poll_least_seconds:,} to {_most(row.poll_most_seconds)} seconds, "
        f"{'instead of' if row.poll_excludes_media else 'beside'} media"
    )


def _scopes(row: Limits) -> str:
    needed = [" or ".join(f"`{scope}`" for scope in scopes) for scopes in row.scopes]
    needed += [" or ".join(f"`{s}`" for s in scopes) + " for media" for scopes in row.media_scopes]
    return ", ".join(needed)


def _table() -> str:
    names = list(LIMITS)
    rows = {
        "text": [_text(row) for row in LIMITS.values()],
        "media": [_media(row) for row in LIMITS.values()],
        "images": [_types(row.image_types, row.image_bytes) for row in LIMITS.values()],
        "videos": [_types(row.video_types, row.video_bytes) for row in LIMITS.values()],
        "alt text": [_alt_text(row) for row in LIMITS.values()],
        "poll": [_poll(row) for row in LIMITS.values()],
        "permissions": [_scopes(row) for row in LIMITS.values()],
    }
    lines = [["", *names], ["---"] * (len(names) + 1), *([name, *cells] for name, cells in rows.items())]
    return "\n".join(f"| {' | '.join(cells)} |".replace("|  |", "| |") for cells in lines)


def test_the_page_has_the_table() -> None:
    assert _table() in PAGE.read_text(encoding="utf-8"), f"docs/limits.md must have:\n{_table()}"


def test_the_page_names_every_fact() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert [name for name in Limits.model_fields if f"`{name}`" not in page] == []
