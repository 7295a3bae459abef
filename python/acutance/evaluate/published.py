"""Published networks that a user has: weights that spandrel knows, and ONNX files, scored as they are.

They lie in the folder that ``ACUTANCE_RIVALS`` names. ``.pth`` and ``.safetensors`` files are loaded by spandrel (extra
``rivals``), which finds out what network they hold. ``.onnx`` files take ``[1, C, h, w]`` and give
``[1, C, h * s, w * s]``; the scale stands under ``scale`` in the file's metadata, or in its name, as ``x2`` or ``2x``.

A picture is mapped so that the protocol's range becomes 0 to 1, as such networks want, and is repeated to three
channels where they want colour, whose mean is taken after. Networks that lie on another grid, by half a pixel for
instance, are scored as they are.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError
from ..geometry import Array

if TYPE_CHECKING:
    from .methods import Method

VARIABLE = "ACUTANCE_RIVALS"
"""Names the folder."""

KINDS = (".onnx", ".pth", ".safetensors")

F32 = NDArray[np.float32]


class Published:
    """A network that enlarges pictures of values in 0 to 1.

    Attributes
    ----------
    scale : int
    channels : int
        1 or 3.
    """

    def __init__(self, path: Path, scale: int, channels: int, run: Callable[[F32], Array]) -> None:
        self.path, self.scale, self.channels, self._run = path, scale, channels, run

    def enlarge(self, picture: Array, low: float, high: float) -> F32:
        """Return ``[rows * s, cols * s]`` of a picture ``[rows, cols]``, not rounded.

        Parameters
        ----------
        low, high : float
            Values that the network sees as 0 and 1.

        Raises
        ------
        ModelError
            The network fails, or gives another size than its scale says.
        """
        width = np.float32(high - low) or np.float32(1)
        mapped = (np.asarray(picture, dtype=np.float32) - np.float32(low)) / width
        seen = np.repeat(mapped[None, None], self.channels, axis=1)
        try:
            found = np.asarray(self._run(seen), dtype=np.float32)
        except Exception as e:
            raise ModelError(f"fails on a picture of {picture.shape} pixels ({type(e).__name__})", self.path) from e
        wanted = tuple(self.scale * n for n in picture.shape)
        if found.ndim != 4 or found.shape[2:] != wanted:
            raise ModelError(f"gives {list(found.shape)}; wanted {wanted}, {self.scale} times its input", self.path)
        return np.asarray(found[0].mean(axis=0) * width + np.float32(low))


def files() -> list[Path]:
    """Return the files of the folder that ``ACUTANCE_RIVALS`` names, sorted; none where it names none.

    Raises
    ------
    ModelError
        It names no folder.
    """
    said = os.environ.get(VARIABLE)
    if not said:
        return []
    folder = Path(said)
    if not folder.is_dir():
        raise ModelError(f"is no folder, as {VARIABLE} wants one", folder)
    return sorted(p for p in folder.iterdir() if p.suffix in KINDS)


def names() -> list[str]:
    """Return the names under which the files are compared."""
    return [path.stem for path in files()]


def find(scale: int) -> list[Method]:
    """Return the published networks of a scale.

    Raises
    ------
    ModelError
        A file cannot be loaded.
    """
    from .methods import Method

    return [Method(p.stem, "rival", os.fspath(p)) for p in files() if load(os.fspath(p)).scale == scale]


@functools.lru_cache(maxsize=8)
def load(path: str) -> Published:
    """Load a network.

    Raises
    ------
    ModelError
        The file is no such network, its scale is not said, or spandrel is missing.
    """
    file = Path(path)
    return _onnx(file) if file.suffix == ".onnx" else _spandrel(file)


def _onnx(path: Path) -> Published:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(os.fspath(path), options, providers=["CPUExecutionProvider"])
    except Exception as e:
        raise ModelError(f"cannot be loaded by ONNX Runtime ({type(e).__name__})", path) from None
    said = session.get_modelmeta().custom_metadata_map
    if "acutance" in said:
        raise ModelError("is a model of acutance; give it to --models", path)
    scale = _declared(said.get("scale"), path)
    inputs = session.get_inputs()
    shape = inputs[0].shape
    if len(inputs) != 1 or len(shape) != 4 or shape[1] not in (1, 3):
        raise ModelError(f"takes {[list(i.shape) for i in inputs]}; wanted one input [N, 1 or 3, h, w]", path)
    if any(isinstance(n, int) for n in shape[2:]):
        raise ModelError(f"takes pictures of {shape[2:]} pixels only; wanted h and w to be free", path)
    kind: Any = np.float16 if inputs[0].type == "tensor(float16)" else np.float32

    def run(x: F32) -> Array:
        found: Array = session.run(None, {inputs[0].name: x.astype(kind)})[0]
        return found

    return Published(path, scale, shape[1], run)


def _declared(said: str | None, path: Path) -> int:
    """Return the scale that a file declares."""
    named = re.search(r"(?:^|[^0-9a-z])(?:x([234])|([234])x)(?:[^0-9a-z]|$)", path.stem.lower())
    text = said or (named and (named[1] or named[2])) or ""
    if text not in ("2", "3", "4"):
        raise ModelError("does not say its scale; put it into the file's metadata as `scale`, or name it NAME-x2", path)
    return int(text)


def _spandrel(path: Path) -> Published:
    try:
        import spandrel
        import torch
    except ModuleNotFoundError as e:
        raise ModelError(f"needs {e.name}: pip install 'acutance[rivals]'", path) from None
    torch.set_num_threads(1)
    try:
        network = spandrel.ModelLoader(device="cpu").load_from_file(path)
    except Exception as e:
        raise ModelError(f"is no network that spandrel knows ({type(e).__name__})", path) from None
    if not isinstance(network, spandrel.ImageModelDescriptor) or network.purpose != "SR":
        raise ModelError(f"holds a network for {network.purpose}; wanted one for SR", path)
    network.eval()

    def run(x: F32) -> Array:
        with torch.inference_mode():
            found: Array = network(torch.from_numpy(x)).numpy()
        return found

    return Published(path, network.scale, network.input_channels, run)
