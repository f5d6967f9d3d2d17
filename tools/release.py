"""Prepares a release: `make release VERSION=0.2.0` writes the version wherever it stands, for one commit.

CONTRIBUTING.md says what comes before and after.
"""

import re
import sys
from datetime import UTC, date, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VERSION_FILE = Path("server/base/version.py")
CHANGELOG = Path("CHANGELOG.md")
CHART = Path("deploy/helm/hitchpost/Chart.yaml")
UNRELEASED = re.compile(r"^## Unreleased\n(.*?)(?=^## )", re.MULTILINE | re.DOTALL)
NUMBERS = re.compile(r"\d+\.\d+\.\d+")


class Refused(Exception):
    """There is nothing that could be released by that name; the text says why."""


def main(arguments: list[str]) -> int:
    """Writes the files, and says what is left to do."""
    if len(arguments) != 1:
        print("say which version: make release VERSION=0.2.0", file=sys.stderr)
        return 2
    [version] = arguments
    try:
        changed = release(ROOT, version, datetime.now(UTC).date())
    except Refused as refused:
        print(refused, file=sys.stderr)
        return 1
    print(f"wrote {', '.join(map(str, changed))}; read them, then:")
    print(f"  git commit --all --message 'Version {version}'")
    print(f"  git tag --annotate v{version} --message 'Version {version}'")
    return 0


def release(root: Path, version: str, today: date) -> list[Path]:
    """Writes the version into the repository at `root`, and returns which files. Raises Refused."""
    texts = {path: (root / path).read_text() for path in (VERSION_FILE, CHANGELOG, CHART)}
    [before] = NUMBERS.findall(texts[VERSION_FILE])
    if not NUMBERS.fullmatch(version) or _key(version) <= _key(before):
        raise Refused(f"{version!r} is no version after {before}; it has three numbers, as {before} has")
    news = UNRELEASED.search(texts[CHANGELOG])
    if news is None or not news[1].strip():
        raise Refused(f"{CHANGELOG} has nothing below Unreleased")
    texts[VERSION_FILE] = texts[VERSION_FILE].replace(before, version)
    texts[CHART] = re.sub(
        rf"(?m)^((?:appV|v)ersion: \"?){re.escape(before)}", rf"\g<1>{version}", texts[CHART]
    )
    headings = f"## Unreleased\n\n## {version} - {today}\n"
    texts[CHANGELOG] = UNRELEASED.sub(lambda found: headings + found[1], texts[CHANGELOG], count=1)
    for path, text in texts.items():
        (root / path).write_text(text)
    return list(texts)


def _key(version: str) -> list[int]:
    return [int(number) for number in version.split(".")]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
