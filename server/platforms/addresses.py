"""Where connections may go: to public addresses, unless more is allowed.

Some addresses to call come from callers, such as those of media; what they name must not be a machine that
only this one reaches. A name is resolved once, what it means is checked, and that is connected to: asked a
second time it could mean another machine. TLS and HTTP still go by the name.
"""

import asyncio
import ipaddress
import logging
import socket
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_network
from typing import Any

import httpcore2
import httpx2

from server.platforms.failures import NotConnected

log = logging.getLogger(__name__)

# What a host's name, or an address in any spelling, means: at least one IP address, the best first.
Resolve = Callable[[str, int], Awaitable[list[str]]]

# All that is global in IPv6 is here (IANA); outside are also the old ways to write IPv4 addresses as IPv6.
GLOBAL_UNICAST = ip_network("2000::/3")
# Inside, and younger than Python's list of what is not global.
DOCUMENTATION = ip_network("3fff::/20")
# The last 32 bits are the IPv4 address where a NAT64 gateway connects to.
NAT64 = ip_network("64:ff9b::/96")
# For each of several addresses but the last: then the next may be one that answers.
HEAD_START_SECONDS = 2.0
DEFAULT_PORTS = {"http": 80, "https": 443}
# How NotConnected says that an address is not allowed.
NOT_PUBLIC = "an address that is not public"


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether everybody on the internet means the same machine by it."""
    address = _meant(address)
    if isinstance(address, IPv4Address):
        return address.is_global and not address.is_multicast
    return address in GLOBAL_UNICAST and address.is_global and address not in DOCUMENTATION


def is_private(address: IPv4Address | IPv6Address) -> bool:
    """Whether it is this machine, or one of a network of its own, such as 10.0.0.0/8.

    Link-local ones are not: that is where clouds give a machine its credentials.
    """
    address = _meant(address)
    return not (is_public(address) or address.is_link_local or address.is_multicast)


def _meant(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address that a connection to an IPv6 address ends at, where it does."""
    if isinstance(address, IPv4Address):
        return address
    if address in NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour or address


async def resolve(host: str, port: int) -> list[str]:
    """The addresses by the system's resolver. Raises OSError, or UnicodeError for what can't be a name."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


class CheckedNetwork(httpcore2.AsyncNetworkBackend):
    """The network as an HTTP client may use it: TCP to the addresses that are allowed.

    Beside public ones those are private ones if `allow_private`, and whatever the hosts and ports of the
    URLs in `trusted` mean. For everything else it raises NotConnected.
    """

    def __init__(self, *, allow_private: bool, trusted: Iterable[str], resolve: Resolve = resolve) -> None:
        self._allow_private = allow_private
        self._trusted = {_endpoint(httpx2.URL(url)) for url in trusted}
        self._resolve = resolve
        self._network = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Any = None,
    ) -> httpcore2.AsyncNetworkStream:
        """A connection to the first of the host's addresses that accepts one."""
        try:
            *others, last = await self._resolve(host, port)
        except (OSError, UnicodeError) as error:
            raise httpcore2.ConnectError(type(error).__name__) from None
        if (host, port) not in self._trusted:
            self._check(host, [*others, last])
        for address in others:
            with suppress(httpcore2.ConnectError, httpcore2.ConnectTimeout):
                return await self._network.connect_tcp(
                    address, port, HEAD_START_SECONDS, local_address, socket_options
                )
        return await self._network.connect_tcp(last, port, timeout, local_address, socket_options)

    def _check(self, host: str, addresses: list[str]) -> None:
        """Refuses a host of which one address is not allowed: it is a mistake, or an attack."""
        for address in map(ipaddress.ip_address, addresses):
            if not (is_public(address) or (self._allow_private and is_private(address))):
                log.warning(
                    "a host was not called, since its address is not public; "
                    "HITCHPOST_ALLOW_PRIVATE_ADDRESSES=true allows private ones, but not link-local ones",
                    extra={"host": host, "address": str(address)},
                )
                raise NotConnected(NOT_PUBLIC)


def _endpoint(url: httpx2.URL) -> tuple[str, int]:
    return url.raw_host.decode("ascii"), url.port or DEFAULT_PORTS[url.scheme]
