"""Hitchpost's server, as it is installed: a program. Its packages are in this folder, where only it finds
them (docs/decisions/0034-one-name-in-the-wheel.md).
"""

import sys


def main() -> None:
    """The command `hitchpost`."""
    # In front, so that nothing else on Python's path is taken for ours, whatever it is called.
    sys.path[:0] = __path__
    from server.cli import main as command

    command()
