"""For processes that have this folder in PYTHONPATH: they connect to nothing but this machine."""

import ipaddress
import socket
from typing import Any

_getaddrinfo = socket.getaddrinfo


def _is_here(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def getaddrinfo(host: Any, *arguments: Any, **named: Any) -> Any:
    """As the system's, for what is here; everything else is unknown."""
    name = host.decode("ascii", "replace") if isinstance(host, bytes) else host
    if name is None or _is_here(name):
        return _getaddrinfo(host, *arguments, **named)
    raise socket.gaierror(socket.EAI_NONAME, "only loopback is reached")


socket.getaddrinfo = getaddrinfo
