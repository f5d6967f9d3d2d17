"""What was done to projects and API keys: recorded in the transaction that does it."""

from datetime import datetime

from server.base.identity import new_id
from server.storage.models import AdminEvent
from server.storage.statements import Command, params

_RECORD = Command(
    "admin_events.record",
    AdminEvent.insert(
        params(
            AdminEvent.id,
            AdminEvent.api_key_id,
            AdminEvent.action,
            AdminEvent.project_id,
            AdminEvent.subject,
            AdminEvent.create_time,
        )
    ),
)


def record(action: str, now: datetime, by: str | None, *, project_id: str, subject: str) -> None:
    """`by` is the id of an admin key, or None for who has a shell on the server; `project_id` is "" for an
    admin key's events; `subject` is a name, an address or a key's id, never a secret."""
    _RECORD.run(
        id=new_id("ae", now),
        api_key_id=by,
        action=action,
        project_id=project_id,
        subject=subject,
        create_time=now,
    )
