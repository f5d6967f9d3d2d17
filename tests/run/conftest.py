"""What several files of this room start from."""

from typing import Any

import pytest

from tests.kit.servers import rows
from tests.kit.support import unique


@pytest.fixture
def empty_database(postgres: Any) -> str:
    """A database without any table."""
    name = unique("empty").replace("-", "_")
    rows(postgres.get_uri(), f"CREATE DATABASE {name} TEMPLATE template1")
    return postgres.get_uri(database=name)
