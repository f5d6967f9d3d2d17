"""request_id: the same request gives the first answer again instead of happening twice."""

import hashlib
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, NamedTuple, TypeVar

from google.protobuf.message import Message

from server import errors, sizes
from server.database import database
from server.identity import Caller
from server.models import IdempotentRequest
from server.purging import Purge
from server.statements import Statement, param, params

Answer = TypeVar("Answer", bound=Message)


class _Stored(NamedTuple):
    body_hash: memoryview
    response: memoryview


_FIND = Statement(
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
_ANSWER = Statement(
    IdempotentRequest.update({IdempotentRequest.response: param("response")}).where(
        (IdempotentRequest.project == param("project"))
        & (IdempotentRequest.request_id == param("request_id"))
    ),
    tuple[Any, ...],
)
OLD_REQUESTS = Purge(IdempotentRequest.create_time, timedelta(hours=24))


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
            stored = _FIND.first(**key)
            if stored is None or bytes(stored.body_hash) != body_hash:
                raise errors.RequestIdReused
            if len(stored.response) > sizes.CLIENTS_ACCEPT:
                raise errors.AnswerTooLarge(bytes=str(len(stored.response)))
            return kind.FromString(bytes(stored.response))
        answer = perform()
        _ANSWER.all(**key, response=answer.SerializeToString())
        return answer


def _hash(caller: Caller, request: Message) -> bytes:
    body = request.SerializeToString(deterministic=True)
    return hashlib.sha256(f"{type(request).__name__}\0{caller.owner!r}\0".encode() + body).digest()
