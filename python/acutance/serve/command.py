"""``acutance serve``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from .config import read
from .run import run
from .video.command import video


class _Commands(TyperGroup):
    """Subcommands, and the name of a configuration in place of one."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        first = next((word for word in args if not word.startswith("-")), None)
        if first is not None and first not in self.commands:
            args = ["run", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_Commands,
    add_completion=False,
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
    status = run(found)
    if status:
        os._exit(status)  # threads of services that did not end must not hold the process


app.command("video")(video)
