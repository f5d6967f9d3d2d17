"""Who an account of the AT Protocol is, and where: handle -> DID -> document -> its server (PDS).

A handle is a domain that names a DID, and the DID's document names the handle and the server. Only if both
agree does the handle count: else anyone could give somebody else's account a name.
"""

import asyncio
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import dns.asyncresolver
import dns.exception
import dns.resolver
import httpx2

from server.platforms.failures import PlatformRefused, PlatformUnreachable
from server.platforms.strangers import Strangers, error_code, json_object

# https://atproto.com/specs/handle and https://atproto.com/specs/did
LABEL = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
HANDLE = re.compile(rf"(?=.{{3,244}}$)({LABEL}\.)+[a-z]([a-z0-9-]{{0,61}}[a-z0-9])?")
PLC_DID = re.compile(r"did:plc:[a-z2-7]{24}")
WEB_DID = re.compile(rf"did:web:(?P<host>({LABEL}\.)+{LABEL})")
# For development: the only one that may have a port, and is asked by http.
LOCAL_DID = re.compile(r"did:web:localhost%3A(?P<port>[1-9][0-9]{0,4})")
DNS_SECONDS = 3.0
# For a handle that is only shown: nobody waits longer for it.
VERIFY_SECONDS = 4.0

# What the specification keeps from being a handle: these are no names on the internet.
RESERVED = {"alt", "arpa", "example", "internal", "invalid", "local", "localhost", "onion"}


class UnknownHandle(PlatformRefused):
    """No account could be found by this handle or DID."""


@dataclass(frozen=True, slots=True)
class Identity:
    """An account: its DID, the handle that leads to it ("" for none), and the address of its server."""

    did: str
    handle: str
    pds: str


class TxtRecords:
    """Asks for TXT records: the name server at this IP address and port, else the system's resolver."""

    def __init__(self, name_server: str | None = None) -> None:
        self._name_server = name_server

    async def of(self, name: str) -> list[str]:
        """The texts of this name; none if it has none. Raises PlatformUnreachable."""
        try:
            answer = await self._resolver().resolve(name, "TXT", lifetime=DNS_SECONDS)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return []
        except (dns.exception.DNSException, OSError):
            raise PlatformUnreachable("no answer from DNS") from None
        return [b"".join(record.strings).decode("utf-8", "replace") for record in answer]

    def _resolver(self) -> dns.asyncresolver.Resolver:
        resolver = dns.asyncresolver.Resolver(configure=self._name_server is None)
        if self._name_server is not None:
            host, _, port = self._name_server.rpartition(":")
            resolver.nameservers, resolver.port = [host.strip("[]")], int(port)
        return resolver


class Identities:
    """Finds accounts. `plc_url` is where did:plc is looked up; `handle_url` is for tests."""

    def __init__(
        self,
        strangers: Strangers,
        plc_url: str,
        txt: TxtRecords,
        handle_url: str = "https://{handle}",
    ) -> None:
        self._strangers = strangers
        self._plc_url = plc_url
        self._txt = txt
        self._handle_url = handle_url

    async def find(self, client: httpx2.AsyncClient, name: str) -> Identity:
        """The account with this handle or DID. Raises UnknownHandle, PlatformRefused, PlatformUnreachable."""
        if name.startswith("did:"):
            document = await self._document(client, name)
            return Identity(name, await self._verified(client, name, document), self._pds(document))
        handle = name.lower()
        did = await self._did(client, handle)
        document = await self._document(client, did)
        if f"at://{handle}" not in _also_known_as(document):
            raise UnknownHandle("the handle names an account that does not name it")
        return Identity(did, handle, self._pds(document))

    async def _did(self, client: httpx2.AsyncClient, handle: str) -> str:
        if not HANDLE.fullmatch(handle) or handle.rpartition(".")[2] in RESERVED:
            raise UnknownHandle("no handle")
        records = await self._txt.of(f"_atproto.{handle}")
        named = {record.removeprefix("did=") for record in records if record.startswith("did=")}
        if len(named) > 1:
            raise UnknownHandle("the handle names several accounts")
        return named.pop() if named else await self._well_known(client, handle)

    async def _well_known(self, client: httpx2.AsyncClient, handle: str) -> str:
        try:
            origin = self._handle_url.format(handle=handle)
            response = await client.get(f"{origin}/.well-known/atproto-did")
        except httpx2.ConnectError:
            raise UnknownHandle("the handle is no server") from None
        if response.is_success:
            return response.text.strip()
        error_code(response)
        raise UnknownHandle("the handle names no account")

    async def _document(self, client: httpx2.AsyncClient, did: str) -> dict[str, Any]:
        """The DID's document. Raises UnknownHandle if there is none."""
        response = await client.get(self._document_url(did))
        if response.status_code in (404, 410):
            raise UnknownHandle("no such account")
        document = json_object(response)
        if document.get("id") != did:
            raise PlatformRefused("the document of another account")
        return document

    def _document_url(self, did: str) -> str:
        if PLC_DID.fullmatch(did):
            return f"{self._plc_url}/{did}"
        if web := WEB_DID.fullmatch(did):
            return f"https://{web['host']}/.well-known/did.json"
        if (local := LOCAL_DID.fullmatch(did)) and self._strangers.allows_private:
            return f"http://localhost:{local['port']}/.well-known/did.json"
        raise UnknownHandle("no DID of an account")

    def _pds(self, document: dict[str, Any]) -> str:
        services = document.get("service")
        for service in services if isinstance(services, list) else ():
            if (
                isinstance(service, dict)
                and str(service.get("id")).endswith("#atproto_pds")
                and service.get("type") == "AtprotoPersonalDataServer"
            ):
                return self._strangers.origin(service.get("serviceEndpoint"))
        raise PlatformRefused("the account has no server")

    async def _verified(self, client: httpx2.AsyncClient, did: str, document: dict[str, Any]) -> str:
        """The handle of a document, if it leads back to its DID: what is shown is not made up."""
        for address in _also_known_as(document)[:1]:
            handle = address.removeprefix("at://").lower()
            with suppress(PlatformRefused, PlatformUnreachable, httpx2.HTTPError, ValueError, TimeoutError):
                async with asyncio.timeout(VERIFY_SECONDS):
                    if await self._did(client, handle) == did:
                        return handle
        return ""


def _also_known_as(document: dict[str, Any]) -> list[str]:
    names = document.get("alsoKnownAs")
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []
