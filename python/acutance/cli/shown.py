"""Pictures for the eye beside the results (``--display``)."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

from .. import display
from ..beside import beside
from ..errors import UsageError
from ..files import png, record
from ..geometry import Frame


@dataclasses.dataclass(frozen=True)
class Shown:
    """What is written for the eye.

    Attributes
    ----------
    kind : {"png", "dicom"}
    settings : display.Settings
    """

    kind: Literal["png", "dicom"]
    settings: display.Settings

    def paths(self, target: Path, count: int) -> list[Path]:
        """Return where the pictures of a file go, beside its result: ``NAME_display.png``, numbered if several."""
        name = target.name[: -len(".nii.gz")] if target.name.lower().endswith(".nii.gz") else target.stem
        end = ".png" if self.kind == "png" else ".dcm"
        if count == 1:
            return [target.with_name(f"{name}_display{end}")]
        width = max(4, len(str(count)))
        return [target.with_name(f"{name}_display_{i + 1:0{width}}{end}") for i in range(count)]

    def write(self, path: Path, frame: Frame) -> None:
        """Write one enhanced picture for the eye.

        Raises
        ------
        UsageError
            A DICOM capture is asked for of a picture that is not from DICOM, or scikit-image is not installed.
        """
        how = self.settings.describe(frame)
        picture = display.shown(frame, self.settings)
        if self.kind == "dicom":
            from .. import dicom

            dicom.write(path, dicom.capture(frame, picture, how))
            return
        assert frame.derivation is not None
        said = {record.KEY: record.Record("", (frame.derivation,)).text(), "Comment": f"For presentation: {how}"}
        with beside(path) as file:
            png.write(file, picture, text=said, spacing=frame.spacing)


def window_of(text: str | None) -> tuple[float, float] | None:
    """Read ``C,W``.

    Raises
    ------
    UsageError
        It is no two numbers, or the width is not positive.
    """
    if text is None:
        return None
    try:
        centre, width = (float(x) for x in text.split(","))
    except ValueError:
        raise UsageError(f"--window '{text}' is no centre and width; wanted two numbers as in 40,400") from None
    if not (width > 0 and abs(centre) < float("inf") and width < float("inf")):
        raise UsageError(f"--window '{text}': wanted a positive width")
    return centre, width
