"""Makes docs/reference.md, the page of all commands and settings, of the commands and settings themselves;
run by `make reference`."""

import re
from collections.abc import Iterator
from pathlib import Path

import click

from server.cli import cli
from server.commands.about import PROGRAM
from server.run import setting_list

TARGET = Path(__file__).resolve().parent.parent / "docs" / "reference.md"
ABOUT = """\
# Commands and settings

`make reference` writes this page of what `hitchpost --help` and `hitchpost serve --help` say, too.

`eval "$(hitchpost completion bash)"` in `~/.bashrc` makes the shell complete commands, options and names of
platforms; `completion zsh` and `completion fish` do so for these.
"""
SETTINGS = """\
Settings are environment variables, the same for every process of Hitchpost. One that is empty counts as not
set. `hitchpost settings` shows what holds, and whether it is from the environment; secrets are not shown."""


def main() -> None:
    """Writes the page."""
    TARGET.write_text(page())


def page() -> str:
    """The whole page."""
    lines = [ABOUT, "## Commands", ""]
    for context in _commands(
        click.Context(cli, info_name=PROGRAM, max_content_width=100, terminal_width=100)
    ):
        lines += _command(context)
    lines += ["## Settings", "", SETTINGS, "", "| variable | default | meaning |", "| --- | --- | --- |"]
    lines += [_setting(setting) for setting in setting_list.described()]
    return "\n".join(lines) + "\n"


def _commands(context: click.Context) -> Iterator[click.Context]:
    """Every command that does something, those of a group behind one another, as their context."""
    for name, command in sorted(context.command.commands.items()):
        inner = click.Context(command, context, info_name=name)
        if isinstance(command, click.Group):
            yield from _commands(inner)
        elif not command.hidden:
            yield inner


def _command(context: click.Context) -> list[str]:
    usage = " ".join((context.command_path, *context.command.collect_usage_pieces(context)))
    options = [
        option.get_help_record(context)
        for option in context.command.params
        if isinstance(option, click.Option) and not option.hidden
    ]
    lines = [f"### `{context.command_path}`", "", "```text", usage, "```", "", context.command.help or "", ""]
    if options:
        lines += ["| option | |", "| --- | --- |"]
        lines += [
            "| `{}` | {} |".format(*(cell.replace("|", "\\|") for cell in record)) for record in options
        ]
        lines += [""]
    return lines


def _setting(setting: setting_list.Described) -> str:
    return f"| `{setting.variable}` | {_linked(setting.default)} | {_linked(setting.meaning)} |"


def _linked(text: str) -> str:
    """Markdown in which pages are linked, and names of variables, addresses and paths are code."""
    text = re.sub(r"(?<![\w/])((HITCHPOST_|[a-z]+://|/)[^\s;)]*[^\s;),.])", r"`\1`", text)
    return re.sub(r"docs/([\w-]+\.md)", r"[docs/\1](\1)", text)


if __name__ == "__main__":
    main()
