"""Hooks of mkdocs: pages that are not in docs/, links to files that are no pages; nothing from elsewhere."""

import posixpath
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import get_plugin_logger
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
# Pages of the repository's root, by their names in the site.
OUTSIDE = {
    "index.md": "README.md",
    "CONTRIBUTING.md": "CONTRIBUTING.md",
    "CHANGELOG.md": "CHANGELOG.md",
    "SECURITY.md": "SECURITY.md",
}
_BLOCKS = re.compile(r"^( *```.*?^ *```)", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"(?<!!)\[((?:[^][]|\[[^][]*\])*)\]\(([^)\s]+)\)")
# What pages would load from somewhere else: a link that is clicked on is none of these.
_LOADED = re.compile(
    r"<(?:script|link|img|iframe|source)\b[^>]*?\b(?:src|href)=[\"']?((?:https?:)?//[^\"'\s>]+)"
)

log = get_plugin_logger(__name__)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Decisions are in the navigation by their numbers."""
    names = sorted(path.name for path in Path(config.docs_dir, "decisions").glob("*.md"))
    config.nav = [*config.nav, {"Decisions": [f"decisions/{name}" for name in names]}]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The README is the home."""
    for name, source in OUTSIDE.items():
        files.append(File.generated(config, name, content=(ROOT / source).read_text()))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Links as the repository has them become those of the site; to files that are no pages, text."""
    outside = OUTSIDE.get(page.file.src_uri)
    here = posixpath.dirname(outside if outside is not None else f"docs/{page.file.src_uri}")

    def of_the_site(link: re.Match[str]) -> str:
        text, address = link.groups()
        target = urlsplit(address)
        if target.scheme or not target.path:
            return link[0]
        path = posixpath.normpath(posixpath.join(here, target.path))
        name = _page(path)
        if name is None:
            if not (ROOT / path).exists():
                log.warning("%s links to %s, which there is not", page.file.src_uri, address)
            return text
        relative = posixpath.relpath(name, posixpath.dirname(page.file.src_uri) or ".")
        return f"[{text}]({relative}{'#' + target.fragment if target.fragment else ''})"

    parts = _BLOCKS.split(markdown)
    parts[::2] = [_LINK.sub(of_the_site, part) for part in parts[::2]]
    return "".join(parts)


def _page(path: str) -> str | None:
    """The page of the site that this file of the repository is, if it is one."""
    outside = next((name for name, source in OUTSIDE.items() if source == path), None)
    if outside is None and path.startswith("docs/") and path.endswith(".md"):
        return path.removeprefix("docs/")
    return outside


def on_post_page(output: str, page: Page, **_: Any) -> str:
    """Nothing is loaded from elsewhere."""
    for address in _LOADED.findall(output):
        log.warning("%s loads %s", page.file.src_uri, address)
    return output
