"""What PostgreSQL's own log gets of our statements: nothing with a caller's values, if our role may say so.

A value is part of the text of its EXECUTE. PostgreSQL logs that text with an error, when a statement takes
long, and in the DETAIL of a deadlock, and values in the DETAIL of a violated key. The settings that prevent
it are a superuser's; another role needs a grant (decision 12).
"""

from collections.abc import Sequence

# Each by the value with which it keeps statements, and what they were run with, out of the log.
QUIET = {
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_statement": "none",
    "log_min_duration_statement": "-1",
    "log_min_duration_sample": "-1",
    "log_transaction_sample_rate": "0",
}
_WANTED = ", ".join(f"('{name}', '{value}')" for name, value in QUIET.items())
_LOUD = f"FROM (VALUES {_WANTED}) AS wanted (name, value) WHERE current_setting(name) <> value"

# The settings of this connection that would let values into the log: name, value, and our role, quoted.
LOUD = f"SELECT name, current_setting(name), quote_ident(current_user) {_LOUD}"
# One statement, which changes what this role may change and fails for none.
_HUSH = f"SELECT set_config(name, value, false) {_LOUD} AND has_parameter_privilege(name, 'SET')"


def hush(server_version: int) -> str:
    """The SQL that a new connection runs first; none for a PostgreSQL too old to have grants for it."""
    return _HUSH if server_version >= 150_000 else ""


def remedy(loud: Sequence[tuple[str, str, str]]) -> str:
    """What an operator has to know and to do about these rows of LOUD."""
    are = " and ".join(f"{name} is {value}" for name, value, _ in loud)
    names = ", ".join(name for name, _, _ in loud)
    return (
        f"{are}, so it gets statements with callers' ids, texts and encrypted tokens; to let Hitchpost turn "
        f"that off for itself run, as a superuser: GRANT SET ON PARAMETER {names} TO {loud[0][2]};"
    )
