"""`python -m server` is the command `hitchpost`."""

from server.cli import main

main()
