"""``acutance models``: what models come with the package, and what they say of themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ..model import Metadata, Model


def models(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME|FILE]", help="Print everything this model says.", show_default=False)
    ] = None,
) -> None:
    """List the models, or print what one says of itself."""
    from .. import model as shipped
    from . import report

    if name is not None:
        _describe(shipped.load(name))
        return
    table = report.table("name", "version", "scale", "modalities", "guard", "values", "pixels in mm", "network")
    for known in shipped.names():
        m = shipped.load(known).meta
        spacing = "any" if m.spacing_mm is None else f"{m.spacing_mm[0]:g} to {m.spacing_mm[1]:g}"
        report.add_row(
            table, m.name, m.version, str(m.scale), ", ".join(m.modalities), m.guard, _values(m), spacing, m.network
        )
    report.paper().print(table, soft_wrap=False)


def _values(meta: Metadata) -> str:
    mapping = meta.mapping
    if mapping.kind == "fixed":
        return f"{mapping.low:g} to {mapping.high:g} {mapping.unit}"
    return f"{mapping.low:g} to {mapping.high:g} percentile of the series"


def _describe(model: Model) -> None:
    from ..model import cautions, purpose

    typer.echo(purpose(model.meta))
    for line in cautions(model.meta):
        typer.echo(line)
    typer.echo()
    meta = model.meta.model_dump(mode="json")
    training, scores = meta.pop("training"), meta.pop("scores")
    lines = {"file": str(model.path), "sha256": model.sha256, **meta}
    lines |= {f"training {k}": v for k, v in training.items() if k != "data"}
    lines |= {f"scores {k}": v for k, v in scores.items() if k != "rows"}
    width = max(map(len, lines))
    for key, value in lines.items():
        typer.echo(f"{key:<{width}}  {_plain(value)}")
    for source in training["data"]:
        typer.echo(f"{'training data':<{width}}  {_plain(source)}")
    for row in scores["rows"]:
        typer.echo(f"{'score':<{width}}  {_plain(row)}")


def _plain(value: object) -> str:
    """Return a JSON value as text without brackets and quotes."""
    if isinstance(value, dict):
        return ", ".join(f"{k} {_plain(v)}" for k, v in value.items())
    if isinstance(value, list):
        return (
            "; ".join(map(_plain, value)) if any(isinstance(v, dict) for v in value) else ", ".join(map(_plain, value))
        )
    return "none" if value is None else str(value)
