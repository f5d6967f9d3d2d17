"""What is wrong with a setting, in plain words: which variable, and what would be right."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from annotated_types import Ge, Gt, Le
from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from server.config import Settings

# The value itself was understood, so that it is a number, and fit to be shown.
_OUT_OF_RANGE = ("greater_than", "greater_than_equal", "less_than_equal")
_RIGHT = {"bool_parsing": "true or false", "path_not_file": "the path of a file that exists"}


def explain(error: ValidationError) -> Iterator[str]:
    """A line for each wrong setting. Other values than numbers are never shown: they may be secrets."""
    for found in error.errors():
        # A default that needs a wrong setting is not wrong itself.
        if found["type"] == "default_factory_not_called":
            continue
        if not found["loc"]:
            yield f"settings: {found['ctx']['error']}"
            continue
        name = str(found["loc"][0])
        yield f"HITCHPOST_{name.upper()} {_complaint(found, Settings.model_fields[name])}"


def _complaint(found: ErrorDetails, field: FieldInfo) -> str:
    if found["type"] == "value_error":
        return str(found["ctx"]["error"])
    if found["type"] == "literal_error":
        return f"must be {found['ctx']['expected'].replace(chr(39), '')}"
    right = _RIGHT.get(found["type"]) or _number(field)
    if found["type"] in _OUT_OF_RANGE:
        return f"is {_plain(found['input'])}; it must be {right}"
    return f"must be {right}"


def _number(field: FieldInfo) -> str:
    """Which numbers the field takes."""
    kind = "a number of seconds" if field.annotation is timedelta else "a whole number"
    low: Any = None
    high: Any = None
    for bound in field.metadata:
        match bound:
            case Ge():
                low = bound.ge
            case Le():
                high = bound.le
            case Gt(gt=value):
                return f"{kind} above {_plain(value)}"
    if high is None:
        return f"{kind}, {_plain(low)} or more"
    return f"{kind} from {_plain(low)} to {_plain(high)}"


def _plain(value: Any) -> str:
    return f"{value.total_seconds():g}" if isinstance(value, timedelta) else str(value)
