"""``acutance serve``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from .config import read
from .run import run


class _Commands(TyperGroup):
    """Subcommands, and the name of a configuration in place of one."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and args[0] not in self.commands:
            return "run", self.commands["run"], args
        return super().resolve_command(ctx, args)


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    subcommand_metavar="CONFIG.toml | COMMAND [ARGS]...",
    help="Run services as CONFIG.toml says (docs/live.md), until SIGTERM or Ctrl-C: what was begun is finished first.",
)


@app.callback()
def _services() -> None:
    """Have a callback, so that one subcommand is not taken for the whole."""


@app.command("run", hidden=True)
def serve(
    config: Annotated[Path, typer.Argument(metavar="CONFIG.toml", help="What to run; see docs/live.md.")],
    check: Annotated[bool, typer.Option("--check", help="Only check the configuration.")] = False,
) -> None:
    """Run services as a configuration says."""
    found = read(config)
    if check:
        names = ", ".join(f"{s.name} ({s.kind})" for s in found.services)
        typer.echo(f"{config}: {names}")
        return
    raise typer.Exit(run(found))
