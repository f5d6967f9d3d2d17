"""docs/reference.md has every command and every setting as they are, and the README what is true of some."""

import re

import pytest

from server.config import Settings
from server.run import setting_list
from tests.kit.servers import REPOSITORY
from tools import gen_reference

README = (REPOSITORY / "README.md").read_text()
TABLE = README.partition("### Settings")[2].partition("\n## ")[0]


def test_the_page_is_fresh() -> None:
    assert gen_reference.TARGET.read_text() == gen_reference.page(), (
        "docs/reference.md is stale: make reference"
    )


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_says_what_it_is_for_and_what_holds_without_it(name: str) -> None:
    field = Settings.model_fields[name]
    [described] = [each for each in setting_list.described() if each.variable == f"HITCHPOST_{name.upper()}"]
    assert described.meaning
    assert not described.meaning.endswith(".")
    # What is no plain value needs words, which a table can't make up.
    if field.default_factory is not None or field.default in (None, ()):
        assert re.search("; (default|unset): .", field.description or ""), field.description


def test_the_readmes_settings_are_settings_with_their_defaults() -> None:
    defaults = {setting.variable: setting.default for setting in setting_list.described()}
    rows = [row for row in TABLE.splitlines() if row.startswith("| `")]
    assert 10 <= len(rows) <= 14
    for row in rows:
        _, names, default, *_ = (cell.strip() for cell in re.split(r"(?<!\\)\|", row))
        for name in re.findall(r"`(\w+)`", names):
            assert default.replace("`", "") == defaults[name], name
