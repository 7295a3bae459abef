"""What may be learnt, one file each: examples, loss, further modules and validation. ``[task]`` of a recipe chooses."""

from __future__ import annotations

from ..recipe import Recipe
from .gan import Gan
from .guided import WithGuide
from .picture import Picture
from .quantiles import Quantiles
from .sequence import Sequence
from .task import Learner, Task

_KINDS: dict[str, type[Task]] = {
    "gan": Gan,
    "guided": WithGuide,
    "picture": Picture,
    "quantiles": Quantiles,
    "sequence": Sequence,
}


def of(recipe: Recipe) -> Task:
    """Return a recipe's task; nothing is built or read yet."""
    return _KINDS[recipe.task.kind](recipe)


__all__ = ["Gan", "Learner", "Picture", "Quantiles", "Sequence", "Task", "WithGuide", "of"]
