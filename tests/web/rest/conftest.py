"""How the tests of REST ask."""

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from tests.conftest import Running
from tests.kit.support import Client
from tests.web.rest.asking import Ask


@pytest.fixture
def ask(running: Running, client: Client) -> Iterator[Ask]:
    """ask("GET", "/v1/social-posts", …) with the client's key; `key=None` sends none."""
    url = f"http://{running.settings.web_address}"
    with httpx2.Client(base_url=url, trust_env=False, timeout=30) as http:

        def send(verb: str, path: str, *, key: str | None = client.key, **kwargs: Any) -> httpx2.Response:
            headers = list(dict(kwargs.pop("headers", {})).items())
            headers += [("Authorization", f"Bearer {key}")] if key else []
            return http.request(verb, path, headers=headers, **kwargs)

        yield send
