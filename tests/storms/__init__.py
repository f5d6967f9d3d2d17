"""Storms: floods, kills and restarts that take longer than a few seconds. `make test-storm` runs them.

Each is bounded in loops, time and memory, and runs against servers in processes of their own.
"""
