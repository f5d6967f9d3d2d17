"""The commands that tell of Hitchpost itself: its settings, its version, and how a shell completes it."""

import platform

import click
import grpc
from click.shell_completion import BashComplete, FishComplete, ShellComplete, ZshComplete

from server.base.version import VERSION
from server.commands.setup import read_settings
from server.run import setting_list
from server.storage import schema

PROGRAM = "hitchpost"
SHELLS: dict[str, type[ShellComplete]] = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}


class CommandWithSettings(click.Command):
    """A command whose --help lists the settings, too."""

    def format_epilog(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes them below the options."""
        with formatter.section("Settings, which are environment variables"):
            formatter.write_dl(
                [
                    (variable, f"{meaning} [default: {default}]")
                    for variable, default, meaning in setting_list.described()
                ],
                # Beside the longest names there would be no room for what they mean.
                col_max=1,
            )


@click.command()
def settings() -> None:
    """Show the settings that hold here, and where each is from, without secrets."""
    found = list(setting_list.effective(read_settings()))
    width = max(len(setting.variable) for setting in found)
    for variable, value, origin in found:
        click.echo(f"{variable:{width}}  {origin:11}  {value}")


@click.command(name="version")
def version_command() -> None:
    """Print this version, the schema that it wants, and what it runs on."""
    click.echo(f"{PROGRAM} {VERSION}")
    click.echo(f"schema {schema.newest()}")
    click.echo(f"Python {platform.python_version()}")
    click.echo(f"grpcio {grpc.__version__}")


@click.command()
@click.argument("shell", type=click.Choice(list(SHELLS)))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print what makes a shell complete commands and options: eval "$(hitchpost completion bash)"."""
    kind = SHELLS[shell]
    click.echo(kind(context.find_root().command, {}, PROGRAM, f"_{PROGRAM.upper()}_COMPLETE").source())
