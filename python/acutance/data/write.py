"""Files of a data set: slices first, then what is said of them, the manifest last; each whole or not at all."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ..beside import beside, make_folder
from ..deidentify.key import Key
from ..deidentify.profile import method
from ..evaluate import score, shards
from ..evaluate.shards import Shard
from ..geometry import Array, Frame
from . import profile
from .pixels import Prepared
from .sources import Item
from .subjects import Place

MANIFEST = "MANIFEST.csv"

_README = f"""# A data set for training

Made by `acutance data build`. `{MANIFEST}` has a line for each series: its file, split, modality, subject, source and
licence. A series is `NAME.npy` (slices, rows, columns, along the acquisition axis) and `NAME.json` (what is known of
it). No person stands in two splits.

## Whose pictures these are

Nothing here but the pixels themselves can name a person, a place, a device or a time. No header was copied: of DICOM
only numbers about the acquisition were kept, and those passed the Basic Application Level Confidentiality Profile of
PS3.15. Subjects, links and names of files are HMAC-SHA-256 of the source's identifiers under a key that is not in this
folder. Who has that key and the source can tell who is who; nobody else can. Without the key no series can be added.

Pixels are as the scanner made them. Faces were not removed from heads, and text that is burned into pictures was not
looked for: only files that say of themselves that there is some were left out. Look at the pictures before you give
them away.
"""


def described(prepared: Prepared, item: Item, place: Place, key: Key, frames: Sequence[Frame]) -> Shard:
    """Return what is said of a series, but for its source, its licence and the hash of its file."""
    slices, modality = prepared.slices, item.modality
    low, high = (float(x) for x in np.percentile(slices, score.ROBUST))
    span = shards.value_range(modality, prepared.eight_bit, (low, high))
    header = frames[0].source.header if item.kind == "dicom" and frames[0].source else None
    said = {
        "modality": modality,
        "split": place.split,
        "subject": place.subject,
        "source": "",
        "licence": "",
        "shape": slices.shape,
        "dtype": slices.dtype.name,
        "spacing_mm": prepared.spacing_mm,
        "slope": prepared.slope,
        "intercept": prepared.intercept,
        "eight_bit": prepared.eight_bit,
        "robust_range": (low, high),
        "truths": tuple(i for i, s in enumerate(slices) if score.is_truth(modality, s, span)),
        "protocol": score.PROTOCOL,
        "prepared": prepared.prepared,
        "acquisition": {} if header is None else profile.numbers_of(header),
        "deidentified": "no header was taken" if header is None else method(),
        "sha256": "",
        "key": key.mark(),
        "made_from": item.made_from,
        "content": key.token("content", hashlib.sha256(slices.data).hexdigest()),
        "links": tuple(sorted(item.links)),
    }
    return Shard.model_validate(said)


def series(path: Path, slices: Array, said: Shard) -> Shard:
    """Write slices, and what is said of them once they are there; return that with the hash of the file.

    Raises
    ------
    OutputError
        Something cannot be written.
    """
    make_folder(path.parent)
    path.with_suffix(".json").unlink(missing_ok=True)  # never beside slices of which it does not hold
    with beside(path) as file:
        np.save(file, slices, allow_pickle=False)
        file.seek(0)
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    whole = said.model_copy(update={"sha256": digest.hexdigest()})
    description(path, whole)
    return whole


def description(path: Path, said: Shard) -> None:
    """Write what is said of the slices at ``path``."""
    with beside(path.with_suffix(".json")) as file:
        file.write(f"{said.model_dump_json()}\n".encode())


def index(folder: Path, found: Mapping[Path, Shard]) -> None:
    """Write the manifest of all series, and the page that says what the folder is."""
    text = io.StringIO(newline="")
    rows = [_row(path.relative_to(folder).as_posix(), path, said) for path, said in sorted(found.items())]
    out = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    out.writeheader()
    out.writerows(rows)
    for name, content in (("README.md", _README), (MANIFEST, text.getvalue())):
        with beside(folder / name) as file:
            file.write(content.encode())


def _row(name: str, path: Path, said: Shard) -> dict[str, object]:
    spacing = () if said.spacing_mm is None else (*said.spacing_mm[1:], said.spacing_mm[0])
    return {
        "path": name,
        "split": said.split,
        "modality": said.modality,
        "subject_id": said.subject,
        "shape": "x".join(str(n) for n in said.shape),
        "voxel_size_mm": "x".join(f"{x:.4g}" for x in spacing if x is not None),
        "dtype": said.dtype,
        "bytes": path.stat().st_size,
        "source": said.source,
        "licence": said.licence,
        "notes": "; ".join(said.prepared),
        "sha256": said.sha256,
    }
