"""The version: here and nowhere else. pyproject.toml reads it from this file, tools/release.py writes it."""

VERSION = "0.1.0"
