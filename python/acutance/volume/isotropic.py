"""Thin slices between thick ones, by the in-plane networks on the two stacks that stand across them.

A pass by scale ``s`` cuts the volume into coronal and into sagittal pictures. Each is averaged along its fine side
until its pixels are about square, as the networks were trained, and enlarged; what the network adds to cubic
interpolation is brought back to the fine side and added to the cubic interpolation of the volume along the slice axis.
Both stacks count half. After the passes the volume is interpolated onto the exact grid, and at last (the guard) the new
slices are changed as little as makes their means over the old slices' profiles what the scanner measured.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from ..enhancer import Enhancer
from ..geometry import Derivation, Frame
from . import along
from .stack import SAME, Grid, Stack, passes


@dataclasses.dataclass(frozen=True, eq=False)
class Made:
    """An isotropic volume.

    Attributes
    ----------
    voxels : ndarray of float32
        ``[count, rows, cols]``, real values, neither rounded nor clipped.
    missing : ndarray of bool or None
        ``[count, rows, cols]``: as the nearest old slice.
    deviation : (float, float)
        Largest and root-mean-square difference between the old slices and the means of the new ones over their
        profiles, in real values.
    warnings : tuple of str
    """

    voxels: along.F32
    missing: NDArray[np.bool_] | None
    deviation: tuple[float, float]
    warnings: tuple[str, ...] = ()


def derivation(stack: Stack, grid: Grid, enhancers: Mapping[int, Enhancer], scale: int = 1) -> Derivation:
    """Return how :func:`isotropic` makes a volume.

    Parameters
    ----------
    enhancers : mapping of int to Enhancer
        By the scale of a pass; at least one.
    scale : int
        By which the slices themselves were enlarged before.
    """
    order = _order(stack, grid, enhancers)
    scales = order or tuple(enhancers)[:1]
    found = enhancers[scales[0]].derivation(_picture(stack, stack.voxels[:, 0], (grid.distance, stack.spacing[1])))
    done = " x ".join(map(str, order)) if order else "none"
    text = (
        f"{grid.old} slices {grid.distance:.6g} mm apart and {grid.width:.6g} mm thick made {grid.count} slices of "
        f"{grid.step:.6g} mm; passes {done} over the coronal and the sagittal stack, their mean taken"
    )
    guard = "box" if _guarded(enhancers[scales[0]]) else "none"
    return dataclasses.replace(found, scale=scale, through_plane=text, guard=guard)


def isotropic(
    stack: Stack, grid: Grid, enhancers: Mapping[int, Enhancer], tell: Callable[[int, int], None] = lambda i, n: None
) -> Made:
    """Return the volume on the new slices of ``grid``.

    Parameters
    ----------
    stack : Stack
    grid : Grid
        As :func:`acutance.volume.plan` returns it for the stack.
    enhancers : mapping of int to Enhancer
        By scale, those that may be used.
    tell : callable
        Called before each picture with its number and how many there are.
    """
    order = _order(stack, grid, enhancers)
    voxels = along.apply(along.cubic(stack.places, grid.nodes), stack.voxels)
    distance, warnings = grid.distance, dict[str, None]()
    _, rows, cols = voxels.shape
    total = len(order) * (rows + cols)
    for number, scale in enumerate(order):
        before = number * (rows + cols)

        def say(i: int, before: int = before) -> None:
            tell(before + i, total)

        voxels, said = _enlarge(stack, voxels, distance, enhancers[scale], say)
        warnings.update(dict.fromkeys(said))
        distance /= scale
    centres = grid.start + 0.5 * (distance - grid.distance) + distance * np.arange(len(voxels))
    voxels = along.apply(along.cubic(centres, grid.targets), voxels)
    means = along.profile(stack.places, grid.width, grid.first, grid.step, grid.count)
    if derivation(stack, grid, enhancers).guard == "box":
        overlap = grid.width > grid.distance * (1 + SAME)
        voxels += along.apply(along.restoring(means, overlap), stack.voxels - along.apply(means, voxels))
    off = along.apply(means, voxels) - stack.voxels
    deviation = (float(np.abs(off).max()), float(np.sqrt(np.mean(np.square(off, dtype=np.float64)))))
    nearest = np.abs(grid.targets[:, None] - stack.places[None]).argmin(axis=1)
    missing = None if stack.missing is None else stack.missing[nearest]
    return Made(voxels, missing, deviation, tuple(warnings))


def _guarded(enhancer: Enhancer) -> bool:
    """Tell whether means are put right: also for models that break the guard in the plane, where blur is theirs.

    Along the axis the header gives the profile. Not where the user says otherwise or the model takes noise away.
    """
    return enhancer.guard == "box" or (enhancer.guard is None and not enhancer.denoises)


def _order(stack: Stack, grid: Grid, enhancers: Mapping[int, Enhancer]) -> tuple[int, ...]:
    """Return the scales of the passes; none where no network would run, since interpolation needs no passes."""
    probe = _picture(stack, stack.voxels[:, 0], (grid.distance, stack.spacing[1]))
    able = [scale for scale, enhancer in enhancers.items() if enhancer.derivation(probe).model != "base"]
    return passes(grid.ratio, able)


def _picture(stack: Stack, pixels: along.F32, spacing: tuple[float, float]) -> Frame:
    return Frame(
        np.ascontiguousarray(pixels, np.float32),
        modality=stack.modality,
        spacing=spacing,
        inverted=stack.inverted,
        value_range=stack.value_range,
    )


def _enlarge(
    stack: Stack, voxels: along.F32, distance: float, enhancer: Enhancer, tell: Callable[[int], None]
) -> tuple[along.F32, tuple[str, ...]]:
    """Enlarge ``[slices, rows, cols]`` by the enhancer's scale along the slices, which lie ``distance`` mm apart."""
    scale, slices = enhancer.scale, len(voxels)
    up = _finer(slices, scale)
    out = along.apply(up, voxels)
    said: dict[str, None] = {}
    number = 0
    for across in (1, 2):  # rows give coronal pictures, columns sagittal ones
        side = voxels.shape[3 - across]
        spacing = stack.spacing[1 if across == 1 else 0]
        block = max(1, round(distance / spacing))
        blocks = -(-side // block)
        finer = _finer(blocks, scale)
        back = _back(side, block, blocks, scale)
        for i in range(voxels.shape[across]):
            tell(number)
            number += 1
            picture = voxels[:, i] if across == 1 else voxels[:, :, i]
            coarse = _blocks(picture, block, blocks)
            result = enhancer.run(_picture(stack, coarse, (distance, spacing * block)))
            said.update(dict.fromkeys((*((result.fell_back,) if result.fell_back else ()), *result.warnings)))
            added = result.pixels - along.apply(finer, along.apply(up, coarse).T).T
            target = out[:, i] if across == 1 else out[:, :, i]
            target += 0.5 * along.apply(back, added.T).T
    return out, tuple(said)


def _finer(count: int, scale: int) -> along.F64:
    """Return cubic interpolation of ``count`` samples to ``scale`` times as many."""
    return along.cubic(np.arange(count), (np.arange(count * scale) + 0.5) / scale - 0.5)


def _blocks(picture: along.F32, block: int, blocks: int) -> along.F32:
    """Return the means of ``block`` columns, mirrored beyond the last."""
    extra = blocks * block - picture.shape[1]
    padded = np.pad(picture, ((0, 0), (0, extra)), mode="symmetric") if extra else picture
    return np.asarray(padded.reshape(len(picture), blocks, block).mean(axis=2), np.float32)


def _back(side: int, block: int, blocks: int, scale: int) -> along.F64:
    """Return what brings ``blocks * scale`` columns back to ``side`` ones: interpolated, or averaged where finer."""
    step = block / scale
    first = 0.5 * step - 0.5
    if step < 1:
        return along.profile(np.arange(side), 1.0, first, step, blocks * scale)
    return along.cubic(first + step * np.arange(blocks * scale), np.arange(side))
