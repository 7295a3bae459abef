"""``python -m acutance.evaluate.page quality.json -o docs/quality.md``: the page of a report."""

from __future__ import annotations

import argparse
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..cli.ending import end
from . import lesions, report, run, section, table
from .command import picture_name

HEAD = """# How good it is

Made by `make quality` from shipped weights; do not edit. {what}

What stands here holds for these scans and these degradations. They are few: read the intervals, not the last digit.

## How it is scored

Protocol {protocol} ([docs/protocol.md](protocol.md), with every formula and its paper). Truth: native slices with at
least 5 % foreground, cropped to a multiple of the scale; scanner reformats are left out; JPEG pictures are first
area-meaned by 2. Each truth is made `s` times smaller, enlarged by each method, and compared. `2 s` pixels are cropped
at each border. Scores are averaged over the slices of a subject, then over subjects; the 95 % interval is a bootstrap
over subjects, and where there is none there was one subject. {limit}

- **psf 0 to 1.2**: a Gaussian point spread of that sigma in truth pixels, then the mean over `s x s` pixels.
  **k-space**: the middle `1/s` of k-space, moved onto the project's grid. Rows with noise stand apart.
- **PSNR**: over 4095 HU for CT, 255 for 8-bit pictures, the 0.1 to 99.9 percentile of the truth series for MR and PET.
  **SSIM**: sigma 1.5. **HaarPSI**: the authors' constants, without their first step, which halves the pictures and
  would hide just what is enlarged. **VIF**: of the pixels, at four scales, on {costly} slices of a scan. **fg**: the
  same over the foreground.
- **fine energy**: energy above the input's Nyquist frequency, result over truth: 1 is right, 0 is a blur, more is
  invented. **noise power**: of white noise in the input, what part of its variance comes out; repeating pixels has 1
  (first degradation, {costly} slices of a scan). **MTF50**: where a slanted edge keeps half its contrast, in cycles per
  output pixel (ISO 12233); the sharp edge has 0.60. **overshoot**: how far the values across that edge go beyond its
  sides, in percent of the step.
- **block error**: the largest `|mean of a block - input pixel|` anywhere, in stored units; 0 is what the guard
  promises. **max D(SR) - LR**: the largest difference between the input and the result that was degraded once more as
  the truth was ({costly} slices of a scan); the rounding of the input makes up to 0.5.
- **Lesion test**: discs of {diameters} truth pixels and two contrasts are put into the quietest places of the truth
  before it is degraded; shown is the weaker one ({contrasts}). **CNR**: (mean within - mean of a ring around) /
  standard deviation of the ring. **contrast kept**: of the disc's middle. **size**: apparent diameter, where the
  response exceeds half its peak, over the true one. **false blobs**: what a Laplacian-of-Gaussian detector set to half
  of the weaker disc finds in the result without any disc, a slice, and not a trace of in the truth; **lost blobs** the
  reverse. {lesions} slices of a scan.
- **Rivals**: nearest, bilinear, cubic (Keys, a = -0.5), Lanczos (8 taps), zero-filled k-space (MR), and what is fitted
  to the train split of each modality that has one, over sigma 0 to 1, for MR to k-space truncation: a linear 5x5 filter
  per output phase, by least squares; sparse coding over a learnt dictionary (Zeyde, Elad, Protter 2010); and adjusted
  anchored neighbourhood regression (A+; Timofte, De Smet, Van Gool 2014). Published networks stand beside them where
  their files were in `$ACUTANCE_RIVALS`.
"""

GENERATIVE = """
**{names}** {verb} trained with an adversarial loss: generative, so that fine detail in a result may be invented.
"""

SECTION = """## {title}, scale {scale}

{count}.

![{title}: input, cubic, best rival, ours, truth and errors]({picture})

*Chosen by the truth alone: the places with the most structure in the middle slices. Errors at one scale. Names are
those of the files at their source; what they say of training is not our split.*

{scores}

### Traits

{traits}
"""

GAIN = """### What the models add

Ours less the other's, subject by subject: cubic, the best rival by PSNR, and other models. All pairs are in
`quality.json`.

{gains}
"""

LESIONS = """### Lesion test

Degradation {degradation}; {count}.

{lesions}
"""

NOISE = """### With noise

Noise is added to the input (docs/protocol.md); the truth has none but its own.

{scores}

{gains}
"""

MORE = """## {title}

{text}

{table}
"""


def render(found: Mapping[str, Any], pictures: str, more: Sequence[Mapping[str, Any]] = ()) -> str:
    """Return the page of a report as Markdown.

    Parameters
    ----------
    found : mapping
        A report; see :mod:`.report`.
    pictures : str
        Folder of the pictures, as seen from the page.
    more : sequence of mapping
        Further sections, from :func:`further`.
    """
    parts = [_head(found), _models(found)]
    for scale, modality in table.sections(found):
        rows, noisy = table.apart(table.rows_of(found, scale, modality))
        ours, title = table.models(rows), table.TITLES[modality]
        name = picture_name(modality, scale)
        parts.append(
            SECTION.format(
                title=title,
                scale=scale,
                count=table.count(rows),
                picture=f"{pictures}/{name}" if pictures else name,
                scores=table.markdown(*table.scores(rows), ours),
                traits=table.markdown(*table.traits(rows), ours),
            )
        )
        heads, lines = table.gains(rows)
        if lines:
            parts.append(GAIN.format(gains=table.markdown(heads, lines)))
        parts.append(_lesions(found, scale, modality, ours))
        if noisy:
            gains = table.markdown(*table.gains(noisy)) if ours else ""
            parts.append(NOISE.format(scores=table.markdown(*table.scores(noisy), ours), gains=gains))
    parts += [MORE.format(title=m["title"], text=m["text"], table=table.markdown(m["heads"], m["lines"])) for m in more]
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    parts.append(f"Measured in {found['seconds']:.0f} s with Python {found['python']}, {versions}.\n")
    return "\n".join(parts)


def _head(found: Mapping[str, Any]) -> str:
    scales = ", ".join(map(str, found["scales"]))
    word = "scale" if len(found["scales"]) == 1 else "scales"
    what = f"Split `{found['split']}`, {word} {scales}, {found['date']}, commit `{found['commit'] or 'unknown'}`."
    limit = f"**Of each scan at most {found['limit']} slices, spread evenly.**" if found["limit"] else ""
    weak = {m: values[0] for m, values in {**lesions.CONTRASTS, "8-bit": lesions.CONTRASTS_8BIT}.items()}
    return HEAD.format(
        what=what,
        protocol=found["protocol"],
        limit=limit,
        costly=run.COSTLY_SLICES,
        lesions=run.LESION_SLICES,
        diameters=", ".join(f"{d:g}" for d in lesions.DIAMETERS),
        contrasts=f"{weak['CT']:g} HU, {weak['8-bit']:g} gray levels, {100 * weak['MR']:g} % of the range",
    )


def _lesions(found: Mapping[str, Any], scale: int, modality: str, ours: Collection[str]) -> str:
    heads, lines = table.lesions(found, scale, modality)
    if not lines:
        return ""
    row = next(r for r in found["lesions"] if (r["scale"], r["modality"]) == (scale, modality))
    return LESIONS.format(
        degradation=row["degradation"], count=table.count([row]), lesions=table.markdown(heads, lines, ours)
    )


def _models(found: Mapping[str, Any]) -> str:
    if not found["models"]:
        return ""
    lines = [
        (f"**{name}**", m["version"], m["guard"], m["base"], f"`{m['sha256'][:12]}`")
        for name, m in found["models"].items()
    ]
    out = table.markdown(("model", "version", "guard", "base", "SHA-256"), lines) + "\n"
    names = [name for name, m in found["models"].items() if m.get("generative")]
    if names:
        out += GENERATIVE.format(names=", ".join(names), verb="was" if len(names) == 1 else "were")
    names = [name for name, m in found["models"].items() if m.get("denoises")]
    if names:
        out += f"\n**{', '.join(names)}**: for noisy input, without the guard, which would keep the noise.\n"
    return out


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m acutance.evaluate.page", description=__doc__)
    parser.add_argument("report", type=Path, help="quality.json, with the pictures beside it")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the page to write")
    parser.add_argument(
        "--more",
        type=Path,
        nargs="*",
        help="JSON files of further sections (default: those beside the report)",
    )
    given = parser.parse_args(arguments)
    pictures = os.path.relpath(given.report.resolve().parent, given.output.resolve().parent)
    beside = sorted(p for p in given.report.parent.glob("*.json") if p.name != given.report.name)
    more = [section.read(path) for path in (beside if given.more is None else given.more)]
    text = render(report.load(given.report), "" if pictures == "." else Path(pictures).as_posix(), more)
    given.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    end(main)
