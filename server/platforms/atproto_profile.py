"""How an account of Bluesky shows itself: its record app.bsky.actor.profile, which everybody may read."""

from typing import NamedTuple

import httpx2

from server.platforms.failures import PlatformUnreachable
from server.platforms.paths import at
from server.platforms.strangers import error_code, json_object

COLLECTION = "app.bsky.actor.profile"


class Shown(NamedTuple):
    """Its name, and the address of its picture; "" where it has none."""

    display_name: str
    photo_url: str


async def read(client: httpx2.AsyncClient, pds: str, did: str) -> Shown:
    """What the account has at its server. Raises PlatformUnreachable."""
    which = {"repo": did, "collection": COLLECTION, "rkey": "self"}
    response = await client.get(f"{pds}/xrpc/com.atproto.repo.getRecord", params=which)
    if not response.is_success:
        # A new account has no such record yet.
        if error_code(response) == "RecordNotFound":
            return Shown("", "")
        raise PlatformUnreachable(f"HTTP {response.status_code}")
    record = json_object(response)
    name, cid = at(record, "value.displayName"), at(record, "value.avatar.ref.$link")
    picture = httpx2.URL(f"{pds}/xrpc/com.atproto.sync.getBlob", params={"did": did, "cid": cid})
    return Shown(name if isinstance(name, str) else "", str(picture) if isinstance(cid, str) else "")
