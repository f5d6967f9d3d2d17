"""Each reason of the contract has one class, with the status code and metadata that the contract names."""

import re
import string
import subprocess
import sys
from collections import Counter

import pytest
from google.rpc import error_details_pb2

from generated.hitchpost.v1.error_reason_pb2 import ErrorReason
from server.base.errors import FieldViolation, HitchpostError, InvalidArgument, Kind
from server.rpc.status import to_status
from tests.kit.errors import CLASSES, SENT, example, subclasses
from tests.kit.servers import REPOSITORY

PROTO = (REPOSITORY / "protos/hitchpost/v1/error_reason.proto").read_text()
# A comment, and the value that it is about.
VALUE = re.compile(r"((?: *//.*\n)+) *(ERROR_REASON_\w+) = (\d+);")


def documented() -> dict[str, str]:
    """What the contract says about each value, in one line."""
    return {
        name: " ".join(line.strip().removeprefix("//").strip() for line in comment.splitlines())
        for comment, name, _ in VALUE.findall(PROTO)
    }


def test_each_reason_has_exactly_one_class_and_each_class_a_reason() -> None:
    reasons = Counter(ErrorReason.Name(kind.reason) for kind in subclasses())
    assert reasons == Counter(SENT)
    assert set(documented()) == {*SENT, "ERROR_REASON_UNSPECIFIED"}
    assert documented()["ERROR_REASON_UNSPECIFIED"] == "Never sent."


@pytest.mark.parametrize("reason", SENT)
def test_the_class_does_what_the_contract_says(reason: str) -> None:
    kind, said = CLASSES[reason], documented()[reason]
    code = re.match(r"[A-Z_]+", said)
    assert code
    assert kind.kind is Kind[code[0]]
    assert (kind.retry_after is not None) == ("with RetryInfo" in said)
    metadata = re.search(r"Metadata: (.*?)\.$", said)
    names = set(re.findall(r"`(\w+)`", metadata[1])) if metadata else set()
    placeholders = {name for _, name, _, _ in string.Formatter().parse(kind.message) if name}
    assert placeholders - {"fields"} == names


@pytest.mark.parametrize("reason", SENT)
def test_every_error_carries_its_details(reason: str) -> None:
    error = example(CLASSES[reason])
    status = to_status(error)
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert (info.reason, info.domain, dict(info.metadata)) == (reason, "hitchpost", error.metadata)
    assert (status.code, status.message) == (error.kind, str(error))
    assert "{" not in status.message
    kinds = [detail.TypeName() for detail in status.details[1:]]
    expected = ["google.rpc.BadRequest"] if isinstance(error, InvalidArgument) else []
    assert kinds == expected + (["google.rpc.RetryInfo"] if error.retry_after else [])


def test_a_request_with_very_many_faults_still_fits_into_the_trailers() -> None:
    many = [FieldViolation(f"media[{number}].url", "must be a URL") for number in range(1000)]
    status = to_status(InvalidArgument(many))
    bad_request = error_details_pb2.BadRequest()
    assert status.details[1].Unpack(bad_request)
    assert len(bad_request.field_violations) == InvalidArgument.MAX_VIOLATIONS
    assert status.ByteSize() < 8192


def test_messages_are_no_docstrings_which_python_may_leave_out() -> None:
    program = (
        "import server.base.admin_errors\n"
        "from server.base.errors import HitchpostError as E\n"
        "assert False, 'assertions are left out, too'\n"
        "print(E.__doc__, *sorted(c.message for c in E.__subclasses__()), sep='\\n')"
    )
    ran = subprocess.run(
        [sys.executable, "-OO", "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    own = [kind for kind in HitchpostError.__subclasses__() if kind.__module__.startswith("server.")]
    assert ran.stdout.splitlines() == ["None", *sorted(kind.message for kind in own)]
    assert all(kind.message and kind.__doc__ and kind.message != kind.__doc__ for kind in own)
