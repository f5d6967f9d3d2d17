"""The version before and this one, side by side. `make test-upgrade` runs it."""
