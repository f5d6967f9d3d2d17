"""Bluesky's own server on loopback, its accounts, and the people who have them."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self
from urllib.parse import urlsplit

import httpx2

from tests.kit.counterparts import counterpart
from tests.kit.names import NameServer
from tests.kit.support import free_port, known_secret, secret, unique

# Ours, as it would be on the internet.
PUBLIC_URL = "https://hitchpost.internal"


@dataclass(frozen=True)
class BlueskyAccount:
    """Somebody's account."""

    handle: str
    did: str
    password: str = field(repr=False)
    token: str = field(repr=False)


class Pds:
    """A server with accounts, and the directory that says where they are."""

    def __init__(self, names: NameServer, public_port: int, url: str, plc_url: str, folder: str) -> None:
        self.names = names
        # Where this server finds what is at PUBLIC_URL.
        self.public_port = public_port
        self.url = url
        self.plc_url = plc_url
        self._folder = Path(folder)

    def new_account(self) -> BlueskyAccount:
        """Somebody whose handle leads to their account."""
        handle, password = f"{unique('person')}.test", secret()
        body = {"handle": handle, "email": f"{handle}@example.com", "password": password}
        made = self.call("com.atproto.server.createAccount", json=body)
        self.names.texts[f"_atproto.{handle}"] = ["something else", f"did={made['did']}"]
        return BlueskyAccount(handle, made["did"], password, made["accessJwt"])

    def new_app_password(self, account: BlueskyAccount) -> str:
        """As a person makes one in their settings."""
        made = self.call("com.atproto.server.createAppPassword", account, json={"name": unique("app")})
        return known_secret(str(made["password"]))

    def sessions(self, account: BlueskyAccount) -> int:
        """How many are open by app passwords: their refresh tokens."""
        select = "SELECT count(*) FROM refresh_token WHERE did = ? AND appPasswordName IS NOT NULL"
        with closing(sqlite3.connect(self._folder / "account.sqlite")) as database:
            return int(database.execute(select, [account.did]).fetchone()[0])

    def revoke_app_passwords(self, account: BlueskyAccount) -> None:
        """As a person does in their settings."""
        listed = self.call("com.atproto.server.listAppPasswords", account)
        for password in listed["passwords"]:
            self.call("com.atproto.server.revokeAppPassword", account, json={"name": password["name"]})

    def upload(self, account: BlueskyAccount, content: bytes, kind: str) -> Any:
        """A blob, as records name it."""
        headers = {"Authorization": f"Bearer {account.token}", "Content-Type": kind}
        url = f"{self.url}/xrpc/com.atproto.repo.uploadBlob"
        answer = httpx2.post(url, content=content, headers=headers, trust_env=False)
        assert answer.is_success, answer.text
        return answer.json()["blob"]

    def write_profile(self, account: BlueskyAccount, **fields: Any) -> None:
        """How they show themselves."""
        kind = "app.bsky.actor.profile"
        record = {
            "repo": account.did,
            "collection": kind,
            "rkey": "self",
            "record": {"$type": kind, **fields},
        }
        self.call("com.atproto.repo.putRecord", account, json=record)

    def call(self, method: str, account: BlueskyAccount | None = None, **more: Any) -> Any:
        """What a method answers: one with `json` writes."""
        headers = {"Authorization": f"Bearer {account.token}"} if account else {}
        verb = "POST" if "json" in more else "GET"
        answer = httpx2.request(verb, f"{self.url}/xrpc/{method}", headers=headers, trust_env=False, **more)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    def grants(self, account: BlueskyAccount) -> int:
        """How many are open by OAuth."""
        select = "SELECT count(*) FROM token WHERE did = ?"
        with closing(sqlite3.connect(self._folder / "account.sqlite")) as database:
            return int(database.execute(select, [account.did]).fetchone()[0])

    def agree(self, url: str, account: BlueskyAccount) -> str:
        """Signs in and agrees at the authorization page, and returns where a browser goes in the end."""
        with AuthorizationPage(self.url, url) as page:
            login = {"username": account.handle, "password": account.password, "locale": "en"}
            page.token = page.ask("sign-in", login)["ephemeralToken"]
            return page.leave(page.ask("consent", {"sub": account.did})["url"])

    def decline(self, url: str) -> str:
        """The same for who does not want it."""
        with AuthorizationPage(self.url, url) as page:
            return page.leave(page.ask("reject", {})["url"])


class AuthorizationPage:
    """What the scripts of the page at `url` ask their server for, by plain HTTP."""

    NAVIGATION: ClassVar = {
        "Sec-Fetch-Site": "none",
        "Sec-Fetch-Mode": "navigate",
        "Sec-Fetch-Dest": "document",
    }

    def __init__(self, server: str, url: str) -> None:
        self._server = server
        self._url = url
        self._browser = httpx2.Client(trust_env=False)
        self.token = ""

    def __enter__(self) -> Self:
        page = self._browser.get(self._url, headers=self.NAVIGATION)
        assert page.status_code == 200, page.text
        return self

    def __exit__(self, *_: object) -> None:
        self._browser.close()

    def ask(self, what: str, body: dict[str, str]) -> Any:
        """What its server answers to this."""
        headers = {
            "Origin": self._server,
            "Referer": self._url,
            "Sec-Fetch-Site": "same-origin",
            "Sec-Fetch-Mode": "same-origin",
            "X-CSRF-Token": self._browser.cookies["csrf-token"],
            **({"Authorization": f"Bearer {self.token}"} if self.token else {}),
        }
        url = f"{self._server}/@atproto/oauth-provider/~api/{what}"
        answer = self._browser.post(url, json=body, headers=headers | self._cookies())
        assert answer.is_success, answer.text
        return answer.json()

    def leave(self, url: str) -> str:
        """Where it is redirected to from there."""
        headers = self.NAVIGATION | {"Sec-Fetch-Site": "same-origin", "Referer": self._url}
        return str(self._browser.get(url, headers=headers | self._cookies()).headers["location"])

    def _cookies(self) -> dict[str, str]:
        """All of them: they are for https, but for localhost browsers don't mind."""
        return {"Cookie": "; ".join(f"{cookie.name}={cookie.value}" for cookie in self._browser.cookies.jar)}


@contextmanager
def bluesky(plc_port: int, names: NameServer) -> Iterator[Pds]:
    """Runs one, with its directory on this port, and its handles at this name server."""
    public_port = free_port()
    aliases = {PUBLIC_URL: f"http://127.0.0.1:{public_port}"}
    with counterpart("bluesky_pds.mjs", port=free_port(), plc_port=plc_port, aliases=aliases) as said:
        yield Pds(names, public_port, **said)


def port_of(url: str) -> int:
    """The port in a URL."""
    return urlsplit(url).port or 0
