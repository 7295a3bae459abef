"""What a training gives, and how it is read back from its checkpoint."""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING, Any

import torch

from .. import networks
from ..errors import InputError
from ..model import Metadata
from ..networks import Network
from . import describe
from .recipe import Recipe

if TYPE_CHECKING:
    from .validate import Line


@dataclasses.dataclass
class Trained:
    """What a training gives.

    Attributes
    ----------
    network : Network
        With the averaged weights, not fused.
    recipe : Recipe
    lines : list of Line
        The last validation.
    data : list of dict
        As :func:`describe.sources`.
    commit : str
        Of the source it was trained from.
    steps : int
        Taken.
    seconds : float
        Of all runs together, validation not counted.
    device : str
        What it ran on, and in which precision.
    said : dict
        As of :meth:`acutance.train.tasks.Task.finish`.
    """

    network: Network
    recipe: Recipe
    lines: list[Line]
    data: list[dict[str, Any]]
    commit: str
    steps: int
    seconds: float
    device: str
    said: dict[str, Any] = dataclasses.field(default_factory=dict)

    def metadata(self) -> Metadata:
        """Return what the model file says of itself."""
        meta = describe.metadata(self.network, self.recipe, self.data, self.lines, self.commit)
        how = {"steps": self.steps, "minutes": round(self.seconds / 60, 1), "device": self.device}
        return meta.model_copy(update={"training": meta.training.model_copy(update=how), **self.said})


def restore(path: str | os.PathLike[str]) -> Trained:
    """Read a checkpoint, without scores.

    Raises
    ------
    InputError
        The file is no checkpoint.
    """
    try:
        said = torch.load(path, map_location="cpu", weights_only=True)
        recipe = Recipe.model_validate_json(said["recipe"])
        network = networks.build(scale=recipe.model.scale, **recipe.network.model_dump())
        weights = said["network"]
        if said["average"] is not None:
            weights = {k.removeprefix("module."): v for k, v in said["average"].items() if k != "n_averaged"}
        network.load_state_dict(weights)
        rest = {k: said[k] for k in ("data", "commit", "seconds", "device")}
        return Trained(network.eval(), recipe, [], steps=said["step"], **rest)
    except Exception as e:
        raise InputError(f"is no checkpoint of a training ({type(e).__name__})", path) from None
