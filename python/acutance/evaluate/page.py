"""``python -m acutance.evaluate.page quality.json -o docs/quality.md``: the page of a report."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from . import report, table

HEAD = """# How good it is

Made by `make quality` from shipped weights; do not edit. {what}

What stands here holds for these scans and these degradations. They are few: read the intervals, not the last digit.

## How it is scored

Protocol {protocol}. Truth: native slices with at least 5 % foreground, cropped to a multiple of the scale; scanner
reformats are left out; JPEG pictures are first area-meaned by 2. Each truth is made {scale} times smaller, enlarged by
each method, and compared. {border} pixels are cropped at each border. Scores are averaged over the slices of a subject,
then over subjects; the 95 % interval is a bootstrap over subjects.

- **psf 0 to 1.2**: a Gaussian point spread of that sigma in truth pixels, then the mean over {scale} x {scale} pixels.
  **k-space**: the middle 1/{scale} of k-space, moved onto the project's grid. Noise is not added.
- **PSNR**: over 4095 HU for CT, 255 for 8-bit pictures, the 0.1 to 99.9 percentile of the truth series for MR and PET.
  **SSIM**: sigma 1.5. **HaarPSI**: the authors' constants, without their first step, which halves the pictures and
  would hide just what is enlarged. **fg**: the same over the foreground.
- **fine energy**: energy above the input's Nyquist frequency, result over truth: 1 is right, 0 is a blur, more is
  invented. **MTF50**: where a slanted edge keeps half its contrast, in cycles per output pixel (ISO 12233); the sharp
  edge has 0.60. **block error**: the largest `|mean of a block - input pixel|` anywhere, in stored units; 0 is what the
  guard promises.
- **Rivals**: nearest, bilinear, cubic (Keys, a = -0.5), Lanczos (8 taps), zero-filled k-space (MR), and a linear 5x5
  filter per output phase, fitted by least squares to the train split of each modality that has one: over sigma 0 to 1,
  for MR to k-space truncation.
"""

MODALITY = """## {title}

{count}.

![{title}: input, cubic, best rival, ours, truth and errors]({picture})

*Chosen by the truth alone: the places with the most structure in the middle slices. Errors at one scale. Names are
those of the files at their source; what they say of training is not our split.*

{scores}
"""

GAIN = """### What the models add

Ours less the rival's, subject by subject.

{gains}
"""


def render(found: Mapping[str, Any], pictures: str) -> str:
    """Return the page of a report as Markdown.

    Parameters
    ----------
    found : mapping
        A report; see :mod:`.report`.
    pictures : str
        Folder of the pictures, as seen from the page.
    """
    what = (
        f"Split `{found['split']}`, scale {found['scale']}, {found['date']}, commit `{found['commit'] or 'unknown'}`."
    )
    if found["limit"]:
        what += f" **Only {found['limit']} slices per scan: a quick look, not the protocol.**"
    parts = [
        HEAD.format(what=what, protocol=found["protocol"], scale=found["scale"], border=2 * found["scale"]),
        _models(found),
    ]
    ours = {row["method"] for row in found["rows"] if row["kind"] == "model"}
    for modality in table.modalities(found):
        title = table.TITLES[modality]
        scores = table.markdown(*table.scores(found, modality), ours)
        picture = f"{pictures}/{modality}.png" if pictures else f"{modality}.png"
        parts.append(MODALITY.format(title=title, count=table.count(found, modality), picture=picture, scores=scores))
        heads, lines = table.gains(found, modality)
        if lines:
            parts.append(GAIN.format(gains=table.markdown(heads, lines)))
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    parts.append(f"Measured in {found['seconds']:.0f} s with Python {found['python']}, {versions}.\n")
    return "\n".join(parts)


def _models(found: Mapping[str, Any]) -> str:
    if not found["models"]:
        return ""
    lines = [
        (name, f"**{name}**", m["version"], m["guard"], m["base"], f"`{m['sha256'][:12]}`")
        for name, m in found["models"].items()
    ]
    heads = ("model", "version", "guard", "base", "SHA-256")
    return table.markdown(heads, [line[1:] for line in lines]) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m acutance.evaluate.page", description=__doc__)
    parser.add_argument("report", type=Path, help="quality.json, with the pictures beside it")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the page to write")
    given = parser.parse_args(arguments)
    pictures = os.path.relpath(given.report.resolve().parent, given.output.resolve().parent)
    text = render(report.load(given.report), "" if pictures == "." else Path(pictures).as_posix())
    given.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
