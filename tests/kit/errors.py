"""Every class of error, by its reason, and an example of each."""

import string

from generated.hitchpost.v1.error_reason_pb2 import ErrorReason
from server.base import admin_errors as _admin_errors  # noqa: F401 (its classes are looked for below)
from server.base.errors import FieldViolation, HitchpostError, InvalidArgument


def subclasses(kind: type[HitchpostError] = HitchpostError) -> list[type[HitchpostError]]:
    """Every class below this one."""
    return [found for sub in kind.__subclasses__() for found in (sub, *subclasses(sub))]


CLASSES = {ErrorReason.Name(kind.reason): kind for kind in subclasses()}
SENT = sorted(set(ErrorReason.keys()) - {"ERROR_REASON_UNSPECIFIED"})


def example(kind: type[HitchpostError]) -> HitchpostError:
    if kind is InvalidArgument:
        return InvalidArgument([FieldViolation("media[0].url", "must be a URL")])
    names = {name for _, name, _, _ in string.Formatter().parse(kind.message) if name}
    return kind(**{name: f"<{name}>" for name in names})
