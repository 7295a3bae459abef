"""Volumes of thick slices to isotropic voxels."""

from .frames import derivations, gathered, nearest, stored
from .isotropic import Made, derivation, isotropic
from .stack import SAME, Grid, Stack, plan

__all__ = [
    "SAME",
    "Grid",
    "Made",
    "Stack",
    "derivation",
    "derivations",
    "gathered",
    "isotropic",
    "nearest",
    "plan",
    "stored",
]
