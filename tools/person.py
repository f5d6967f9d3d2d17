"""A person with a browser, as far as the sandbox's pages need one: cookies and forms over real HTTP."""

import functools
import ssl
from collections.abc import Iterable
from html.parser import HTMLParser
from typing import Self
from urllib.parse import urljoin, urlsplit

import httpx2


@functools.cache
def _tls() -> ssl.SSLContext:
    """Made once, since reading the certificates takes longer than a page."""
    return httpx2.create_ssl_context(trust_env=False)


class LastForm(HTMLParser):
    """The action and the filled-in fields of a page's last form."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.action = ""
        self.fields: dict[str, list[str]] = {}
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.action, self.fields = attributes["action"], {}
        elif tag == "input" and attributes.get("name") and self._sent(attributes):
            self.fields.setdefault(attributes["name"], []).append(attributes.get("value", ""))

    def _sent(self, attributes: dict[str, str]) -> bool:
        return attributes.get("type") != "checkbox" or "checked" in attributes


class Person:
    """Somebody who signs in to the sandbox by a handle, and manages these pages. Closes like a file."""

    def __init__(self, handle: str, pages: Iterable[str] = ()) -> None:
        self.handle = handle
        self.pages = ",".join(pages)
        self.browser = httpx2.Client(trust_env=False, verify=_tls())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.browser.close()

    def open(self, url: str) -> httpx2.Response:
        """One page; redirects are not followed."""
        return self.browser.get(url)

    def agree(self, url: str, share: Iterable[str] | None = None) -> str:
        """Follows an auth URL, signs in, approves, and returns where the browser is sent then.

        `share` are the handles to tick; by default all that the page offers.
        """
        fields = {"decision": ["approve"]} | ({} if share is None else {"account": list(share)})
        return self._decide(url, fields)

    def decline(self, url: str) -> str:
        """The same, but denies."""
        return self._decide(url, {"decision": ["deny"]})

    def sign_in(self, url: str) -> httpx2.Response:
        """Follows an auth URL to the consent page, past the sign-in page unless this browser is signed in."""
        page = self._follow(self.open(url), urlsplit(url).netloc)
        if 'name="handle"' in page.text:
            page = self._submit(page, {"handle": [self.handle], "pages": [self.pages]})
        return page

    def _decide(self, url: str, decision: dict[str, list[str]]) -> str:
        answer = self._submit(self.sign_in(url), decision)
        return urljoin(str(answer.url), answer.headers["location"])

    def _submit(self, page: httpx2.Response, values: dict[str, list[str]]) -> httpx2.Response:
        form = LastForm(page.text)
        address = urljoin(str(page.url), form.action)
        answer = self.browser.post(address, data=form.fields | values)
        return self._follow(answer, urlsplit(address).netloc)

    def _follow(self, answer: httpx2.Response, host: str) -> httpx2.Response:
        """Follows redirects among the sandbox's own pages, ten at most."""
        for _ in range(10):
            target = urlsplit(urljoin(str(answer.url), answer.headers.get("location", "")))
            if not answer.is_redirect or target.netloc != host or not target.path.startswith("/sandbox"):
                break
            answer = self.open(target.geturl())
        answer_is_page = answer.is_redirect or answer.is_success
        if not answer_is_page:
            raise RuntimeError(f"the sandbox answered {answer.status_code}")
        return answer
