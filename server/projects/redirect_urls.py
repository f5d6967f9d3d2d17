r"""Addresses that a browser is sent to: one grammar, so narrow that a browser can't read them otherwise.

Whoever lists what is dangerous forgets something: browsers take `\` for `/`, drop tabs, and know
`http://0x7f.1/` for 127.0.0.1. So this says what may be there, and all else is refused. A test holds it
against Chromium.
"""

import re
from ipaddress import IPv6Address

LONGEST = 2048
DESCRIPTION = (
    "must be http:// or https://, a host of ASCII letters, digits, dots and hyphens (or an IP address), "
    "optionally a port, and then a path, query or fragment in which all but the characters of RFC 3986 is "
    f"percent-encoded; at most {LONGEST:,} characters, without user name or password"
)

_ADDRESS = re.compile(
    r"https?://(?P<host>[A-Za-z0-9.-]+|\[[0-9a-f:]+\])(?::(?P<port>[1-9][0-9]{0,4}))?"
    r"(?:[/?#][A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]*)?"
)
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_IPV4 = re.compile(r"(?:(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])(?:\.(?!$)|$)){4}")


def host(url: str) -> str:
    """The host as a browser has it: in lower case, an IPv6 address in brackets.

    Raises ValueError, saying what would be right, for an address that is not of the grammar.
    """
    found = _ADDRESS.fullmatch(url) if len(url) <= LONGEST else None
    name = found["host"].lower() if found else ""
    if not found or not (_is_ipv6(name) or _is_name(name)) or int(found["port"] or 1) > 65535:
        raise ValueError(DESCRIPTION)
    return name


def redirect_url(value: str) -> str | None:
    """The same as a rule for a field: what would be right, or None."""
    try:
        host(value)
    except ValueError as error:
        return str(error)
    return None


def _is_ipv6(name: str) -> bool:
    """Whether it is in brackets, and as short as browsers write it."""
    if not name.startswith("["):
        return False
    try:
        address = IPv6Address(name[1:-1])
    except ValueError:
        return False
    # Of an IPv4 address in IPv6 there is more than one short form.
    return address.ipv4_mapped is None and address.compressed == name[1:-1]


def _is_name(name: str) -> bool:
    """Whether it is a host name, or an IPv4 address in its plain form."""
    labels = name.split(".")
    if len(name) > 253 or not all(map(_LABEL.fullmatch, labels)):
        return False
    # A last label that begins with a digit is how browsers tell an IPv4 address, in whatever form.
    return labels[-1][0].isalpha() or bool(_IPV4.fullmatch(name))
