"""request_id: the same request gives the first answer again instead of happening twice."""

import hashlib
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, NamedTuple, TypeVar

from google.protobuf.message import Message

from server.base import errors, sizes
from server.base.identity import Caller
from server.storage.database import database
from server.storage.forgetting import Forgetting
from server.storage.models import IdempotentRequest
from server.storage.statements import Command, Statement, param, params

Answer = TypeVar("Answer", bound=Message)


class _Stored(NamedTuple):
    body_hash: memoryview
    response: memoryview


_FIND = Statement(
    "requests.find",
    IdempotentRequest.select(IdempotentRequest.body_hash, IdempotentRequest.response)
    .where(
        (IdempotentRequest.project == param("project"))
        & (IdempotentRequest.request_id == param("request_id"))
    )
    # A lock is a write: so COMMIT waits for a synchronous standby, which may not have the answer yet.
    .for_update(),
    _Stored._make,
)
_CLAIM = Statement(
    "requests.claim",
    IdempotentRequest.insert(
        params(
            IdempotentRequest.project,
            IdempotentRequest.request_id,
            IdempotentRequest.body_hash,
            IdempotentRequest.response,
            IdempotentRequest.create_time,
        )
    )
    .on_conflict_ignore()
    .returning(IdempotentRequest.request_id),
    tuple[Any, ...],
)
_ANSWER = Command(
    "requests.answer",
    IdempotentRequest.update({IdempotentRequest.response: param("response")}).where(
        (IdempotentRequest.project == param("project"))
        & (IdempotentRequest.request_id == param("request_id"))
    ),
)
OLD_REQUESTS = Forgetting("requests", IdempotentRequest.create_time, timedelta(hours=24))


def answered(caller: Caller, request: Message, kind: type[Answer]) -> Answer | None:
    """What the request returned the first time, for work that must not be begun again; None if it is new.

    Raises as `once`, which has the last word.
    """
    request_id: str = request.request_id  # type: ignore[attr-defined]
    stored = request_id and _FIND.first(project=caller.project_id, request_id=request_id)
    return _answer(stored, _hash(caller, request), kind) if stored else None


def once(
    caller: Caller, request: Message, now: datetime, perform: Callable[[], Answer], kind: type[Answer]
) -> Answer:
    """Performs the request, or returns what it returned the first time.

    The request_id is claimed, the work done and the answer kept in one transaction: a copy that arrives
    meanwhile waits for it, and a failure leaves the request_id free. Raises RequestIdReused when the
    same request_id came with another body, method or owner scope, AnswerTooLarge for what an earlier
    version has kept.
    """
    request_id: str = request.request_id  # type: ignore[attr-defined]
    if not request_id:
        return perform()
    key = {"project": caller.project_id, "request_id": request_id}
    body_hash = _hash(caller, request)
    with database.transaction():
        if not _CLAIM.all(**key, body_hash=body_hash, response=b"", create_time=now):
            return _answer(_FIND.first(**key), body_hash, kind)
        answer = perform()
        _ANSWER.run(**key, response=answer.SerializeToString())
        return answer


def _answer(stored: _Stored | None, body_hash: bytes, kind: type[Answer]) -> Answer:
    if stored is None or bytes(stored.body_hash) != body_hash:
        raise errors.RequestIdReused
    if len(stored.response) > sizes.CLIENTS_ACCEPT:
        raise errors.AnswerTooLarge(bytes=str(len(stored.response)))
    return kind.FromString(bytes(stored.response))


def _hash(caller: Caller, request: Message) -> bytes:
    body = request.SerializeToString(deterministic=True)
    return hashlib.sha256(f"{type(request).__name__}\0{caller.owner!r}\0".encode() + body).digest()
