"""The command ``acutance`` and its subcommands.

``enhance`` and ``models`` are here. Other parts of the package, and other packages, add theirs by entry points of the
group ``acutance.commands``, each a ``typer.Typer`` app; what they need is imported when they are called, not before.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup

from ..errors import UsageError
from .ending import end
from .enhance import enhance
from .models import models

GROUP = "acutance.commands"

_EXTRAS = {"build": "tensorrt", "deidentify": "data", "engines": "tensorrt", "view": "serve"}
"""Extras of commands whose extra has another name than they."""


class _Commands(TyperGroup):
    """The subcommands here, and those that entry points name; a listing does not import the latter."""

    def list_commands(self, ctx: Any) -> list[str]:
        own = super().list_commands(ctx)
        return [*own, *sorted(_entry_points().keys() - set(own))]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        own = super().get_command(ctx, cmd_name)
        if own is None and cmd_name in _entry_points():
            return TyperCommand(cmd_name, help=f"See `acutance {cmd_name} --help`.")
        return own

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if super().get_command(ctx, args[0]) is None and args[0] in _entry_points():
            return args[0], _load(args[0]), args[1:]
        return super().resolve_command(ctx, args)


def _entry_points() -> dict[str, importlib.metadata.EntryPoint]:
    return {p.name: p for p in importlib.metadata.entry_points(group=GROUP)}


def _load(name: str) -> Any:
    """Import a subcommand; what it needs may be missing already here or first when it runs."""
    try:
        command = typer.main.get_command(_entry_points()[name].load())
    except ImportError as e:
        raise _missing(name, e) from None
    invoke = command.invoke

    def run(ctx: Any) -> Any:
        try:
            return invoke(ctx)
        except ModuleNotFoundError as e:
            raise _missing(name, e) from None

    command.invoke = run  # type: ignore[method-assign]
    return command


def _missing(name: str, error: ImportError) -> UsageError:
    """Return the error that names the extra which brings what a subcommand needs."""
    what = error.name or error
    return UsageError(
        f"`acutance {name}` needs {what}, which is not installed: pip install 'acutance[{_EXTRAS.get(name, name)}]'"
    )


app = typer.Typer(
    cls=_Commands,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Make medical pictures sharper. Not a cleared medical device.",
)
app.command()(enhance)
app.command()(models)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"acutance {importlib.metadata.version('acutance')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    pass


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit: 0 done, 1 failed, 2 wrong usage, 3 done in part, 130 interrupted."""
    end(lambda: app(args=None if argv is None else list(argv), prog_name="acutance"))
