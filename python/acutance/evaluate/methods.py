"""The things that are compared: rivals and our models, all called the same way."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Sequence

from .. import model as models
from ..enhancer import Enhancer, Result
from ..errors import UsageError
from ..geometry import Array, Frame
from . import published, rivals, score, sparse

CODES = {
    "CT": ("CT",),
    "MR": ("MR",),
    "XR": ("DX", "CR", "MG", "XA", "RF"),
    "US": ("US",),
    "ENDO": ("ES",),
    "PET": ("PT",),
    "NM": ("NM",),
}
"""DICOM modality codes (PS3.3 C.7.3.1.1.1) under which a modality's pictures are enhanced, the usual one first."""


@dataclasses.dataclass(frozen=True)
class Method:
    """One way to enlarge.

    Attributes
    ----------
    name : str
        As it stands in tables.
    kind : str
        ``"rival"`` or ``"model"``.
    target : str
        What :class:`~acutance.enhancer.Enhancer` is given for a model: a name, a path or ``"base"``. For a rival of
        :mod:`.sparse` the folder of what was learnt, for a published network its file, else nothing.
    """

    name: str
    kind: str
    target: str = ""

    @property
    def caption(self) -> str:
        """Its name, and that it makes detail up where it may."""
        ours = self.kind == "model" and self.target != "base"
        return f"{self.name} (GENERATIVE)" if ours and models.load(self.target).meta.generative else self.name

    def code_for(self, modality: str) -> str | None:
        """Return the DICOM modality that its pictures are given as; None when the model was not made for them."""
        if self.kind == "rival" or self.target == "base":
            return CODES[modality][0]
        made_for = models.load(self.target).meta.modalities
        return next((code for code in CODES[modality] if code in made_for), None)


@dataclasses.dataclass(frozen=True, eq=False)
class Input:
    """What is enlarged: a degraded picture and what is known of it.

    Attributes
    ----------
    pixels : ndarray
        ``[rows, cols]``.
    modality : str
        Of the protocol.
    scale : int
    spacing : (float, float) or None
        Millimetres between the rows and between the columns of ``pixels``.
    value_range : (float, float) or None
        Robust range of the whole degraded series.
    """

    pixels: Array
    modality: str
    scale: int
    spacing: tuple[float, float] | None = None
    value_range: tuple[float, float] | None = None


def enlarge(method: Method, picture: Input) -> tuple[Array, str | None]:
    """Return ``[rows * s, cols * s]`` in the dtype of the input, and why it is the base though it should not be.

    Raises
    ------
    UsageError
        There is no such rival for the modality.
    """
    if method.kind == "rival":
        return score.rounded(_rival(method, picture), picture.pixels.dtype), None
    result = enhance(method, picture)
    return result.pixels, result.fell_back


def enhance(method: Method, picture: Input) -> Result:
    """Return all that a model makes of a picture."""
    frame = Frame(
        picture.pixels,
        modality=method.code_for(picture.modality) or "OT",
        spacing=picture.spacing,
        value_range=picture.value_range,
    )
    return _enhancer(method.target, picture.scale).run(frame)


def _rival(method: Method, picture: Input) -> Array:
    """Return ``[rows * s, cols * s]``, not rounded."""
    if method.name in sparse.NAMES:
        learnt = sparse.load(sparse.path(method.target, picture.modality, picture.scale))
        return sparse.apply(learnt, picture.pixels, method.name)
    if method.target:
        low, high = picture.value_range or score.data_range(picture.modality, [picture.pixels])
        return published.load(method.target).enlarge(picture.pixels, low, high)
    known = rivals.rivals_of(picture.modality, picture.scale)
    if method.name not in known:
        raise UsageError(f"no rival '{method.name}' for {picture.modality}; there are: {', '.join(known)}")
    return known[method.name](picture.pixels, picture.scale)


@functools.lru_cache(maxsize=8)
def _enhancer(target: str, scale: int) -> Enhancer:
    # One thread: slices are small, and it is the slices that are shared out to processes. Scores are of the model and
    # not of what a GPU rounds.
    return Enhancer(target, "onnxruntime", scale=scale, threads=1)


def choose(
    names: Sequence[str], against: Sequence[str], scale: int, folder: str | os.PathLike[str] | None = None
) -> list[Method]:
    """Return the rivals in ``against``, then the models in ``names`` and in ``against``, of one scale.

    Parameters
    ----------
    names : sequence of str
        Models: shipped names, paths or ``"base"``; all shipped ones when empty. Those of other scales are left out.
    against : sequence of str
        Rivals and models to compare with; all rivals when empty.
    scale : int
    folder : path, optional
        Where :mod:`.sparse_fit` keeps what it learns of a data set; None leaves these rivals out.

    Raises
    ------
    UsageError
        Two models have one name.
    ModelError
        A model cannot be loaded.
    """
    learnt = [Method(n, "rival", os.fspath(folder)) for n in sparse.NAMES] if folder is not None else []
    every = [*(Method(n, "rival") for n in rivals.NAMES), *learnt, *published.find(scale)]
    found = [m for m in every if not against or m.name in against]
    for target in [*(names or models.names()), *models_among(against)]:
        if target == "base":
            found.append(Method("base", "model", "base"))
            continue
        meta = models.load(target).meta
        if meta.scale == scale:
            # Files of one model in several precisions bear one name.
            name = meta.name if meta.precision == "fp32" else f"{meta.name} {meta.precision}"
            found.append(Method(name, "model", target))
    named: dict[str, Method] = {}
    for method in found:
        if named.setdefault(method.name, method) != method:
            raise UsageError(f"'{named[method.name].target}' and '{method.target}' are both called {method.name}")
    return list(named.values())


def models_among(against: Sequence[str]) -> list[str]:
    """Return what is no rival's name, and so a model's."""
    return [n for n in against if n not in (*rivals.NAMES, *sparse.NAMES, *published.names())]


def scale_of(target: str) -> int | None:
    """Return by how much a model enlarges; None for ``"base"``, which takes any scale."""
    return None if target == "base" else models.load(target).meta.scale


def usable(methods: Sequence[Method], modality: str, scale: int) -> list[Method]:
    """Return those of the methods that a modality has, in their order."""
    known = rivals.rivals_of(modality, scale)

    def fits(m: Method) -> bool:
        if m.kind == "model":
            return m.code_for(modality) is not None
        if m.name in sparse.NAMES:
            return sparse.path(m.target, modality, scale).is_file()
        return bool(m.target) or m.name in known

    return [m for m in methods if fits(m)]


def shipped(role: str) -> list[str]:
    """Return the names of the shipped models that have an input of a role."""
    return [n for n in models.names() if any(i.role == role for i in models.load(n).meta.inputs)]


def plain(name: str, codes: set[str]) -> list[str]:
    """Return the shipped ``rt`` and ``bal`` of the scale of a model that were made for one of some DICOM modalities."""
    ends = tuple(f"-{kind}-x{models.load(name).meta.scale}" for kind in ("rt", "bal"))
    return [n for n in models.names() if n.endswith(ends) and codes & set(models.load(n).meta.modalities)]
