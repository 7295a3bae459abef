"""What each ingredient of a recipe is worth: short trainings that differ in one of them, scored on the val split.

``python -m acutance.train.sweep ct-rt-x2 --data DATA --steps 2000`` prints a table in Markdown and writes it, with the
numbers as JSON, beside the checkpoints. A second call goes on where the first was stopped.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from ..cli.ending import end
from . import recipe as recipes
from .validate import Line

Changes = Mapping[str, dict[str, Any]]

VARIANTS: Mapping[str, Changes] = {
    "as the recipe": {},
    "no halo (zero padding in the loss)": {"training": {"context": 0}},
    "guard not in the loss": {"training": {"project": False}},
    "plain convolutions": {"network": {"expand": 0}},
    "no EMA": {"training": {"ema": 0.0}},
    "square loss": {"training": {"loss": "l2"}},
    "float32": {"training": {"precision": "32-true"}},
    "area mean alone (no blur)": {"degradation": {"sigma": [0.0, 0.0]}},
    "no other spacings": {"data": {"halve": 0.0}},
    "with reformats": {"data": {"reformats": True}},
    "base lanczos4": {"model": {"base": "lanczos4"}},
    "width 48": {"network": {"width": 48}},
    "depth 3": {"network": {"depth": 3}},
    "depth 8": {"network": {"depth": 8}},
}
"""What is changed in the recipe, by name."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What one variant came to.

    Attributes
    ----------
    name : str
    parameters : int
        Of the exported network.
    seconds : float
    gains : dict of str to float
        PSNR over the rival in dB by row, full frame, mean over subjects.
    """

    name: str
    parameters: int
    seconds: float
    gains: dict[str, float]


def outcome(name: str, parameters: int, seconds: float, lines: Sequence[Line]) -> Outcome:
    """Gather what is shown of a variant."""
    return Outcome(name, parameters, seconds, {f"{x.modality} {x.row}": x.gain for x in lines})


def table(found: Sequence[Outcome]) -> str:
    """Return the outcomes in Markdown; gains after the first line are differences from it."""
    rows = list(found[0].gains)
    lines = [f"| variant | parameters | minutes | {' | '.join(rows)} |", "|---|---|---|" + "---|" * len(rows)]
    for i, one in enumerate(found):
        values = [one.gains[r] if i == 0 else one.gains[r] - found[0].gains[r] for r in rows]
        cells = [one.name, f"{one.parameters:,}", f"{one.seconds / 60:.1f}", *(f"{v:+.2f}" for v in values)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def sweep(recipe: str, data: Path, folder: Path, steps: int, names: Sequence[str]) -> list[Outcome]:
    """Train each variant in its own folder and return what they came to.

    Raises
    ------
    AcutanceError
        As :func:`acutance.train.loop.train`.
    """
    from . import loop

    found = []
    for name in names:
        changes = {k: dict(v) for k, v in VARIANTS[name].items()}
        changes["training"] = {"steps": steps, "validate_every": steps, **changes.get("training", {})}
        where = folder / "".join(c if c.isalnum() else "-" for c in name)
        kept = where / "outcome.json"
        if kept.is_file():
            found.append(Outcome(**json.loads(kept.read_text(encoding="utf-8"))))
            continue
        trained = loop.train(recipes.load(recipe, **changes), data, where, devices=1)
        size = sum(p.numel() for p in trained.network.fused().parameters())
        found.append(outcome(name, size, trained.seconds, trained.lines))
        kept.write_text(json.dumps(dataclasses.asdict(found[-1]), indent=1), encoding="utf-8")
    return found


def main(
    recipe: Annotated[str, typer.Argument(help="A recipe's .toml file, or the name of one that comes with acutance.")],
    data: Annotated[Path, typer.Option(envvar="ACUTANCE_DATA", help="Folder of the scans, with MANIFEST.csv.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of checkpoints and table.")] = Path("runs/sweep"),
    steps: Annotated[int, typer.Option(min=1, help="Steps of each training.")] = 2000,
    only: Annotated[list[str] | None, typer.Option(help="Variants to train; all when not given.")] = None,
) -> None:
    """Show what each ingredient of a recipe is worth on the val split."""
    names = list(VARIANTS) if only is None else [n for n in VARIANTS if n in only]
    if not names:
        raise typer.BadParameter(f"there are: {', '.join(VARIANTS)}", param_hint="--only")
    found = sweep(recipe, data, out, steps, names)
    text = table(found)
    (out / "table.md").write_text(text, encoding="utf-8")
    (out / "table.json").write_text(json.dumps([dataclasses.asdict(x) for x in found], indent=1), encoding="utf-8")
    typer.echo(text)


if __name__ == "__main__":
    end(lambda: typer.run(main))
