"""What a browser comes back with from a platform."""

from typing import NamedTuple
from urllib.parse import parse_qs


class Callback(NamedTuple):
    """A code, or the platform's error, and the state of the attempt that it belongs to."""

    state: str
    code: str
    error: str
    # Who issued the code, if the platform says so (RFC 9207).
    issuer: str

    @classmethod
    def from_query(cls, query: str) -> "Callback":
        """Raises ValueError unless the query has one state, and one code or error (RFC 6749, 4.1.2)."""
        parsed = parse_qs(query, keep_blank_values=False, max_num_fields=50)
        values = {name: parsed.get(name, []) for name in ("state", "code", "error", "iss")}
        if any(len(found) > 1 or "\0" in "".join(found) for found in values.values()):
            raise ValueError("state, code, error and iss may each be there once only")
        state, code, error, issuer = ("".join(found) for found in values.values())
        if not state or not (code or error):
            raise ValueError("must have a state, and a code or an error, in its query")
        return cls(state, code, error, issuer)
