"""npm's oidc-provider, connected as docs/platforms.md says, and a person with a browser who signs in."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urljoin

import httpx2

from server.platforms import ClientApp
from tests.kit.counterparts import counterpart
from tests.kit.servers import REPOSITORY

PAGE = (REPOSITORY / "docs" / "platforms.md").read_text()
SECTION = "## A worked example"
MOST_REDIRECTS = 10


@dataclass(frozen=True)
class OidcProvider:
    """One that runs."""

    url: str

    def rows(self, **ways: dict[str, str]) -> str:
        """The row that the documentation shows, with this server's address, and others by their names, which
        differ from it in this."""
        [example] = re.findall(r"```toml\n(.*?)```", PAGE.split(SECTION)[1], re.DOTALL)
        texts = [example.replace("https://social.example", self.url)]
        for name, facts in ways.items():
            own = {"like": "example", **facts}
            texts.append("\n".join([f"[{name}]", *(f'{fact} = "{value}"' for fact, value in own.items())]))
        return "\n\n".join(texts)

    def asked(self, request: str) -> int:
        """How often it was asked for this, such as `POST /token`."""
        return int(self._get(f"{self.url}/requests").json().count(request))

    def agree(self, url: str, callback_url: str, person: str) -> str:
        """The person opens the auth URL and signs in; where the browser is sent in the end."""
        url = f"{url}&{urlencode({'login_hint': person})}"
        with httpx2.Client(trust_env=False, verify=False) as browser:
            for _ in range(MOST_REDIRECTS):
                answer = browser.get(url)
                assert answer.is_redirect, answer.text
                url = urljoin(url, answer.headers["location"])
                if url.startswith(f"{callback_url}?"):
                    return url
        raise AssertionError(f"more than {MOST_REDIRECTS} redirects")

    def _get(self, url: str) -> httpx2.Response:
        return httpx2.get(url, trust_env=False, verify=False)


@contextmanager
def oidc_provider(clients: list[dict[str, Any]], **settings: Any) -> Iterator[OidcProvider]:
    """Runs one until the end of the block."""
    with counterpart("oidc_provider.mjs", clients=clients, **settings) as said:
        yield OidcProvider(said["url"])


def registered(app: ClientApp, method: str, redirect_uri: str) -> dict[str, Any]:
    """The app as the server knows it: how it authenticates itself, and where browsers are sent back to."""
    secret = {"client_secret": app.client_secret} if app.client_secret else {}
    return {
        "client_id": app.client_id,
        **secret,
        "redirect_uris": [redirect_uri],
        "grant_types": ["authorization_code", "refresh_token"],
        "token_endpoint_auth_method": method,
    }
