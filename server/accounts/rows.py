"""A social account as it is stored."""

from typing import Any, NamedTuple


class AccountRow(NamedTuple):
    """A social account, tokens aside; times are ISO 8601."""

    id: str
    platform: int
    platform_user_id: str
    external_id: str | None
    username: str
    display_name: str
    profile_photo_url: str
    state: int
    scopes: list[str]
    access_token_expire_time: str | None
    metadata: dict[str, str]
    version: int
    create_time: str
    update_time: str
    connect_time: str
    reauth_reason: int | None

    @property
    def etag(self) -> str:
        """Changes with every change of the row."""
        return str(self.version)


class Connection(NamedTuple):
    """How tokens were had: by which row of platforms.toml, which app, and in which login.

    All are None for tokens that were imported; the app also for a client that is everybody's, and the login
    when no other account has the same tokens.
    """

    row: str | None = None
    platform_app_id: str | None = None
    login_id: str | None = None


class StoredTokens(NamedTuple):
    """An account's tokens, and what calls need beside them, encrypted."""

    access_token: bytes | memoryview
    refresh_token: bytes | memoryview | None
    context: bytes | memoryview | None


# The columns as one JSON array, in SQL: psycopg2 takes longer for the name and the value of one column than
# orjson takes for a row.
ROW = f"json_build_array({', '.join(AccountRow._fields)})"


def account_row(columns: tuple[Any, ...]) -> AccountRow:
    """An account out of ROW."""
    return AccountRow._make(columns[0])
