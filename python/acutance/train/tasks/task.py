"""What all tasks share."""

from __future__ import annotations

import abc
import dataclasses
import os
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ... import model, networks
from ...errors import UsageError
from ...networks import Network, convolutions
from ...networks.weights import weights_of
from ..muon import Muon
from ..recipe import Recipe
from ..validate import Scorer

Batch = Mapping[str, Tensor]
"""Tensors of one step by name, whose first axis is the example."""


@dataclasses.dataclass
class Learner:
    """A module that learns, with an optimizer of its own; both are kept in checkpoints.

    Attributes
    ----------
    name : str
        By which :meth:`Task.loss` tells whose turn it is.
    module : Module
    optimizer : Optimizer
        Of the module's parameters.
    rate : float
        Learning rate as a part of the recipe's.
    clip : float
        Largest norm of the gradient.
    """

    name: str
    module: nn.Module
    optimizer: torch.optim.Optimizer
    rate: float
    clip: float


class Task(abc.ABC):
    """What is learnt from what. The loop keeps steps, rates, averages, log, checkpoint and devices.

    A training calls :meth:`begin`, :meth:`load`, then in each step :meth:`batch` once and :meth:`loss` once for each
    learner in their order. What a step does must follow from the recipe's seed, the step, the weights and
    buffers alone, so that a training that was killed goes on as if it had not been.

    Attributes
    ----------
    recipe : Recipe
    network : Network
        From :meth:`begin`: the first learner's module, which is averaged, validated and exported.
    fresh : list of str
        From :meth:`begin`: the network's convolutions that do not start from a model's weights.
    sources : list of dict
        From :meth:`load`: as :func:`acutance.train.describe.sources`.
    """

    network: Network
    fresh: list[str]
    sources: list[dict[str, Any]]

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe

    def begin(self) -> list[Learner]:
        """Make what learns, with fresh weights or those that the recipe starts from. The network comes first.

        Raises
        ------
        UsageError
            The weights to start from do not fit.
        """
        training = self.recipe.training
        self.network = networks.build(scale=self.recipe.model.scale, **self.recipe.network.model_dump())
        self.fresh = [name for name, _ in convolutions(self.network)]
        if training.start:
            self.fresh = start(self.network, training.start)
        return [self.learner("network", self.network)]

    def learner(
        self, name: str, module: nn.Module, rate: float = 1.0, betas: tuple[float, float] = (0.9, 0.999)
    ) -> Learner:
        """Return a module with the recipe's optimizer, in the memory layout that trains fastest."""
        for weight in module.parameters():
            if weight.dim() == 4:
                weight.data = weight.data.contiguous(memory_format=torch.channels_last)
        training = self.recipe.training
        parameters = [p for p in module.parameters() if p.requires_grad]
        kind: type[Any] = {"adam": torch.optim.Adam, "muon": Muon}[training.optimizer]
        return Learner(name, module, kind(parameters, lr=rate * training.rate, betas=betas), rate, training.clip)

    @abc.abstractmethod
    def load(self, data: str | os.PathLike[str], step: int) -> None:
        """Read the training data.

        Parameters
        ----------
        data : path
            The data set's folder.
        step : int
            The step that comes next.

        Raises
        ------
        UsageError
            The data do not suit the recipe.
        """

    @abc.abstractmethod
    def batch(self, step: int, count: int) -> Batch:
        """Return ``count`` examples of a step, on the CPU; steps come one after the other.

        Processes that train together all make the whole batch and take different rows of it, so that what is learnt
        does not depend on their number.
        """

    @abc.abstractmethod
    def loss(self, learner: str, models: Mapping[str, nn.Module], batch: Batch) -> Tensor:
        """Return what a learner is to make small.

        Parameters
        ----------
        learner : str
            Whose turn it is. The parameters of all others stand still meanwhile and ask for no gradient.
        models : mapping of str to Module
            The learners' modules by name, as the loop runs them: in the recipe's precision, and over several devices.
        batch : mapping of str to Tensor
            As :meth:`batch`, on the device.
        """

    def finish(
        self, network: Network, data: str | os.PathLike[str] | None, perceptual: float | None = None
    ) -> tuple[Network, dict[str, Any]]:
        """Make of a trained network the one that is exported, which is the same for most tasks.

        Parameters
        ----------
        network : Network
            With the averaged weights, on the CPU.
        data : path, optional
            The data set's folder.
        perceptual : float, optional
            Part of the weights that were trained against a discriminator, for tasks that have one.

        Returns
        -------
        network : Network
        said : dict
            Fields of the metadata that only this task has something for.

        Raises
        ------
        UsageError
            What this task does not know was asked for, or it needs data and there are none.
        """
        if perceptual is not None:
            raise UsageError(f"recipe '{self.recipe.name}' has no discriminator, so its model has no perceptual part")
        return network, {}

    @abc.abstractmethod
    def validator(self, data: str | os.PathLike[str], per_scan: int = 0) -> Scorer:
        """Return what scores the network on the val split, on at most ``per_scan`` slices of a scan (0: all)."""


def start(network: Network, source: str) -> list[str]:
    """Give a fresh network the weights of a model, where they fit, and return the names of the convolutions left.

    Raises
    ------
    UsageError
        None fits.
    """
    found = model.load(source)
    left = network.start_from(weights_of(found))
    if len(left) == len(convolutions(network)):
        raise UsageError(f"{source} has no weights that fit; it is a network `{found.meta.network}`")
    return left
