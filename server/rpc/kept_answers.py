"""Answers that are kept for a request_id, when what they tell of an owner is to be forgotten."""

import re
from collections.abc import Callable, Collection
from typing import NamedTuple

from generated.hitchpost.v1 import social_account_service_pb2 as pb
from server.storage.statements import Command, Statement

# Answers have up to a megabyte.
BATCH = 100
_ACCOUNT_ID = re.compile(rb"sa_[0-9A-HJKMNP-TV-Z]{26}")


class _Kept(NamedTuple):
    request_id: str
    response: memoryview


_PAGE = Statement(
    "requests.page",
    f"""
    SELECT request_id, response FROM idempotent_request
    WHERE project_id = $project AND request_id > $after ORDER BY request_id LIMIT {BATCH}
    """,
    _Kept._make,
)
# No request has this hash: who repeats it gets REQUEST_ID_REUSED, and nothing happens twice.
_ERASE = Command(
    "requests.erase",
    r"""
    UPDATE idempotent_request SET body_hash = '', response = ''
    WHERE project_id = $project AND request_id = ANY($ids)
    """,
)


def erase_answers(project_id: str, owner: str, theirs: Callable[[Collection[str]], Collection[str]]) -> None:
    """Erases what was answered about the owner's accounts; `theirs` says which of some accounts these are.

    Accounts that there are no longer are told by the owner, as an answer has it.
    """
    as_answered = pb.SocialAccount(external_id=owner).SerializeToString()
    after = ""
    while page := _PAGE.all(project=project_id, after=after):
        named = {kept.request_id: _accounts_in(kept.response) for kept in page}
        owned = set(theirs(set().union(*named.values())))
        ids = [
            kept.request_id
            for kept in page
            if named[kept.request_id] & owned or as_answered in bytes(kept.response)
        ]
        _ERASE.run(project=project_id, ids=ids)
        after = page[-1].request_id


def _accounts_in(response: memoryview) -> set[str]:
    return {found.decode() for found in _ACCOUNT_ID.findall(response)}
