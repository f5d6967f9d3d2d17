"""Paths into what platforms answer, as rows of platforms.toml name them."""

from typing import Any


def at(value: object, path: str) -> Any:
    """What is at a path of keys and indexes, joined by dots; None when nothing is there.

    `rel=next` is the first item of a list that has this value. Of several paths, joined by "|", the first
    counts that has something.
    """
    found = (_at(value, one) for one in path.split("|"))
    return next((one for one in found if one is not None), None)


def _at(value: object, path: str) -> Any:
    for part in path.split(".") if path else ():
        if isinstance(value, dict):
            value = value.get(part)
        elif isinstance(value, list) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        elif isinstance(value, list) and "=" in part:
            key, wanted = part.split("=", 1)
            value = next((item for item in value if isinstance(item, dict) and item.get(key) == wanted), None)
        else:
            return None
    return value
