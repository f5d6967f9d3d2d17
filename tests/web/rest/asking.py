"""What the tests of REST are made of: requests, and failures as data."""

from collections.abc import Callable
from typing import Any

import httpx2

from tests.kit.support import secret, unique

Ask = Callable[..., httpx2.Response]


def new_account(**fields: Any) -> dict[str, Any]:
    profile = unique("profile")
    return {
        "platform": "PLATFORM_SANDBOX",
        "platform_user_id": profile,
        "access_token": secret(),
        **fields,
    }


def reason(response: httpx2.Response) -> tuple[int, str]:
    assert response.headers["content-type"] == "application/problem+json"
    return response.status_code, response.json().get("reason", "").removeprefix("ERROR_REASON_")


def fields(response: httpx2.Response) -> list[str]:
    assert reason(response) == (400, "FIELD_INVALID"), response.text
    return [violation["field"] for violation in response.json()["fields"]]
