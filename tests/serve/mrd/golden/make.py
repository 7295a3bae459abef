"""Write the byte streams in this folder: what the ``ismrmrd`` package's ProtocolSerializer (1.15.0) sends.

    python tests/serve/mrd/golden/make.py

``test_protocol.py`` compares what that version sends with these files.
"""

from __future__ import annotations

import io
from pathlib import Path

import ismrmrd
import numpy as np
from ismrmrd import xsd
from ismrmrd.serialization import ConfigFile, ConfigText, ProtocolSerializer

FOLDER = Path(__file__).parent


def image(dtype: str, shape: tuple[int, ...], kind: int, **meta: object) -> ismrmrd.Image:
    count = int(np.prod(shape))
    values = (np.arange(count) * 7919 % 1009).reshape(shape).astype(dtype)
    if values.dtype.kind == "c":
        values = values * np.exp(1j * np.arange(count).reshape(shape) / 50).astype(dtype)
    made = ismrmrd.Image.from_array(values.astype(dtype))
    made.image_type, made.image_index, made.image_series_index = kind, count % 11, 3
    made.field_of_view, made.position = (180.0, 210.0, 4.0), (1.5, -2.5, 30.0)
    made.read_dir, made.phase_dir, made.slice_dir = (1, 0, 0), (0, 1, 0), (0, 0, 1)
    made.meta = ismrmrd.Meta(meta) if meta else ismrmrd.Meta()
    return made


def acquisition(samples: int, channels: int, dimensions: int) -> ismrmrd.Acquisition:
    data = np.arange(samples * channels).reshape(channels, samples).astype(np.complex64) * (1 + 2j)
    trajectory = np.arange(samples * dimensions).reshape(samples, dimensions).astype(np.float32)
    return ismrmrd.Acquisition.from_array(data, trajectory, scan_counter=5)


def waveform() -> ismrmrd.Waveform:
    return ismrmrd.Waveform.from_array(np.arange(12).reshape(3, 4).astype(np.uint32), waveform_id=1)


def header() -> xsd.ismrmrdHeader:
    return xsd.ismrmrdHeader(experimentalConditions=xsd.experimentalConditionsType(H1resonanceFrequency_Hz=123200000))


STREAMS: dict[str, list[object]] = {
    "images": [
        ConfigFile("acutance"),
        header(),
        image("u2", (1, 1, 12, 10), 1, DataRole="Image", ImageComments=["one", "two"]),
        image("i2", (1, 2, 9, 8), 1),
        image("u4", (2, 1, 7, 6), 1, WindowCenter=512),
        image("f4", (1, 1, 12, 10), 3),
        image("f8", (1, 1, 5, 11), 1),
        image("c8", (2, 1, 8, 8), 5),
        image("c16", (1, 1, 8, 8), 5),
        image("u2", (1, 1, 12, 10), 2, DataRole="Image"),
    ],
    "raw": [
        ConfigText("acutance"),
        header(),
        "a text for the other side",
        acquisition(8, 2, 0),
        waveform(),
        acquisition(6, 3, 2),
        np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    ],
}
"""By name of the file: what is sent before the close message."""


def stream(name: str) -> bytes:
    """Return the bytes of a stream."""
    to = io.BytesIO()
    writer = ProtocolSerializer(to)
    for item in STREAMS[name]:
        writer.serialize(item)
    writer.close()
    return to.getvalue()


if __name__ == "__main__":
    for name in STREAMS:
        (FOLDER / f"{name}.bin").write_bytes(stream(name))
