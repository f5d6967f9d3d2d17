"""The sandbox as an app of a test's own calls it, without Hitchpost in between."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

PICTURE = Path(__file__).parents[2] / "server" / "sandbox" / "static" / "sunrise.png"


@dataclass(frozen=True)
class SandboxApp:
    """An app that may post for a handle; `url` is the web process's address."""

    url: str
    token: str = ""

    def call(self, method: str, path: str, **arguments: Any) -> httpx2.Response:
        """Calls the API, with the token if there is one."""
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        return httpx2.request(
            method,
            f"{self.url}/sandbox/{path}",
            headers={**headers, **arguments.pop("headers", {})},
            trust_env=False,
            verify=False,
            timeout=20,
            **arguments,
        )

    def signed_in(self, handle: str, scope: str = "profile.read posts.write") -> "SandboxApp":
        """The same with a token of this handle."""
        form = {
            "grant_type": "password",
            "client_id": "hitchpost-sandbox",
            "username": handle,
            "scope": scope,
        }
        answer = self.call("POST", "token", data=form)
        assert answer.status_code == 200, answer.text
        return SandboxApp(self.url, answer.json()["access_token"])

    def upload(self, content: bytes | None = None, content_type: str = "image/png") -> str:
        """The id of a new medium."""
        body = PICTURE.read_bytes() if content is None else content
        answer = self.call("POST", "media", content=body, headers={"Content-Type": content_type})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def publish(self, text: str = "hello", **post: Any) -> dict[str, Any]:
        """A new post."""
        answer = self.call("POST", "posts", json={"text": text, **post})
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def look(self, handle: str) -> list[dict[str, Any]]:
        """What is on the timeline's first page of this handle, newest first."""
        posts = self.call("GET", "timeline").json()["posts"]
        return [post for post in posts if post["handle"] == handle]

    def tell(self, behaviour: str, **how: Any) -> None:
        """Has the sandbox misbehave."""
        answer = self.call("POST", "behaviour", json={"behaviour": behaviour, **how})
        assert answer.status_code == 200, answer.text

    @contextmanager
    def misbehaving(self, behaviour: str, **how: Any) -> Iterator[None]:
        """The same, until the end of the block."""
        self.tell(behaviour, **how)
        try:
            yield
        finally:
            assert self.call("DELETE", "behaviour").status_code == 204
