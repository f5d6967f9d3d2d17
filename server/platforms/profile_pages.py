"""The profiles that a login shares, as one of a row's sources lists them, page by page."""

from collections.abc import AsyncIterator, Mapping
from urllib.parse import urljoin

import httpx2

from server.platforms import answers, failures
from server.platforms.facts import Facts, ProfileSource, fill, filled
from server.platforms.failures import PlatformUnreachable
from server.platforms.paths import at

# Of one login.
MOST_PAGES = 20


async def items(
    client: httpx2.AsyncClient, source: ProfileSource, facts: Facts, values: Mapping[str, str]
) -> AsyncIterator[object]:
    """The items of every page, those that are profiles. Raises as failures.check, and ValueError."""
    url, parameters = fill(source.url, values), filled(source.parameters, values)
    headers = {"Accept": "application/json", **filled(source.headers, values)}
    if source.bearer:
        headers["Authorization"] = f"Bearer {values['access_token']}"
    for _ in range(MOST_PAGES):
        # With no parameters, not even an empty set: it would take the place of those in the address.
        answer = (await client.get(url, params=parameters or None, headers=headers)).json()
        failures.check_success(answer, source.success, facts)
        for item in answers.items(answer, source):
            if not source.only_with or at(item, source.only_with) is not None:
                yield item
        following = at(answer, source.next) if source.next else None
        if not following:
            return
        url, parameters = _same_server(url, following), {}
    raise PlatformUnreachable("more pages of profiles than are read")


def _same_server(url: str, following: object) -> str:
    """The address of the next page. The token goes nowhere else."""
    if not isinstance(following, str):
        raise ValueError("the next page's address is no text")
    there = urljoin(url, following)
    if _server(there) != _server(url):
        raise PlatformUnreachable("a next page of another server")
    return there


def _server(url: str) -> httpx2.URL:
    return httpx2.URL(url).copy_with(path="/", query=None, fragment=None)
