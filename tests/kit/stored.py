"""What is stored of a project's accounts."""

from collections.abc import Callable
from typing import Any

from tests.kit.support import Client

Sql = Callable[..., list[tuple[Any, ...]]]


def stored(sql: Sql, client: Client) -> list[tuple[Any, ...]]:
    """Every byte of the project's accounts and tokens."""
    return sql(
        """SELECT account.*, token.* FROM social_account account
        LEFT JOIN social_account_token token ON token.social_account_id = account.id
        WHERE account.project_id = %s""",
        client.project_id,
    )


def stored_tokens(sql: Sql, client: Client) -> list[tuple[bytes, bytes | None]]:
    """The access and refresh token of each account that has some, encrypted."""
    rows = sql(
        "SELECT access_token, refresh_token FROM social_account_token WHERE project_id = %s",
        client.project_id,
    )
    return [(bytes(access), refresh and bytes(refresh)) for access, refresh in rows]
