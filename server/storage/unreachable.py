"""Why the database can't be used, in words for its operator, and whether that may pass by itself.

Before a connection stands, the driver gives neither a SQLSTATE nor a class of its own for each cause, only a
text with a line for each host that it tried. So causes are told by signs in that text. What no sign fits (a
server that speaks another language) is passed on as the driver says it.
"""

import re
from typing import NamedTuple

import psycopg2
from psycopg2.extensions import parse_dsn

from server.base.errors import DatabaseUnavailable

SETTING = "HITCHPOST_DATABASE_URL"
EXAMPLE = "postgresql://user:password@host:5432/database"


class Cause(NamedTuple):
    """What a sign (a regular expression) in the driver's text means, and whether waiting may help."""

    sign: str
    meaning: str
    passes: bool


READ_ONLY = "The database is a standby or read-only, which ends when it is promoted or made writable"
_REFUSED = f"The database refuses the user or the password of {SETTING}"
_DOWN = f"The database can't be reached: it is down, or not where {SETTING} says"

# The first whose sign is there. Who refuses us comes first, since the driver then tries no further host; of
# several hosts, one that is not found matters only when nothing is known of the others.
CAUSES = (
    Cause(r"password authentication failed|no password supplied", _REFUSED, passes=False),
    Cause(r'role ".*" does not exist', f"The database does not know the user of {SETTING}", passes=False),
    Cause(
        r"permission denied for database", f"The user of {SETTING} may not use this database", passes=False
    ),
    Cause(r'database ".*" does not exist', f"The database that {SETTING} names is missing", passes=False),
    Cause(r"pg_hba\.conf", "The database's pg_hba.conf lets nobody in like this", passes=False),
    Cause(r"^invalid .*(value|number)", f"{SETTING} has a parameter that is not understood", passes=False),
    Cause(r"too many (clients|connections)|connection slots", "The database is full", passes=True),
    Cause(r"the database system is ", "The database is starting or stopping", passes=True),
    Cause(r"terminating connection", "The database ended the connection", passes=True),
    Cause(
        r"read-only|in hot standby mode",
        READ_ONLY,
        passes=True,
    ),
    Cause(
        r"Connection (refused|timed out|reset)|timeout expired|No such file|No route to host|is unreachable"
        r"|could not (receive|send) data|closed the connection|connection (has been|already) closed",
        _DOWN,
        passes=True,
    ),
    Cause(r"could not translate host name", f"The host in {SETTING} is not found", passes=False),
)
_UNKNOWN = Cause("", "The database can't be used", passes=False)


def explained(error: psycopg2.Error) -> DatabaseUnavailable:
    """The error for the caller, and in it for the operator one line with the driver's own text.

    The driver's text has no password in it: it would quote one only from a URL that `check_url` refuses.
    """
    # Lines that begin with a tab are advice that the driver gives for every cause.
    said = [line.strip() for line in str(error).splitlines() if line.strip() and not line.startswith("\t")]
    text = "; ".join(said)
    cause = next((cause for cause in CAUSES if re.search(cause.sign, text)), _UNKNOWN)
    return DatabaseUnavailable(f"{cause.meaning}: {text}" if text else cause.meaning, passes=cause.passes)


def check_url(url: str) -> None:
    """Raises ValueError when the driver could not read the URL, or would take part of a password for a host.

    What it says quotes nothing of the URL, which may hold a password.
    """
    if not url.startswith(("postgresql://", "postgres://")):
        raise ValueError("must begin with postgresql://")
    if _has_stray_at(url) or re.search("%(?![0-9A-Fa-f]{2})|%00", url):
        raise ValueError(
            "has a character that has a meaning in URLs: write it percent-encoded, "
            "in a password @ as %40, / as %2F and % as %25"
        )
    try:
        parts = parse_dsn(url)
    except psycopg2.ProgrammingError as error:
        # Behind the colon is a piece of the URL.
        said = str(error).strip().removeprefix("invalid dsn: ").partition(': "')[0]
        raise ValueError(f"must be a URL such as {EXAMPLE}; the driver says: {said}") from None
    for port in filter(None, parts.get("port", "").split(",")):
        if not (port.isdecimal() and 0 < int(port) < 65536):
            raise ValueError(f"must have a port from 1 to 65535, such as {EXAMPLE}")


def _has_stray_at(url: str) -> bool:
    """Whether an @ or / is in the password as it is. An @ in the query is fine, unless it ends a password."""
    authority, _, rest = url.partition("://")[2].partition("/")
    path, _, query = rest.partition("?")
    ends_password = "@" in query and ":" in authority and "@" not in authority
    return authority.count("@") > 1 or "@" in path or ends_password
