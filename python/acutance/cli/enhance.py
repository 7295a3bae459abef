"""``acutance enhance``: files, folders and whole series in, sharper ones out."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated

import typer

GPU = "On a GPU"
"""Panel of the options that backend tensorrt looks at."""


class Stitch(str, enum.Enum):
    exact = "exact"
    feather = "feather"


class Guard(str, enum.Enum):
    box = "box"
    none = "none"


class Precision(str, enum.Enum):
    fp16 = "fp16"
    fp32 = "fp32"
    int8 = "int8"


class Flavour(str, enum.Enum):
    auto = "auto"
    tensorrt = "tensorrt"
    rtx = "rtx"


class Wait(str, enum.Enum):
    spin = "spin"
    block = "block"


class Display(str, enum.Enum):
    png = "png"
    dicom = "dicom"


class Compression(str, enum.Enum):
    jpeg2000 = "jpeg2000"
    rle = "rle"


def enhance(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT...",
            help="Files and folders (searched to any depth); - reads a list of paths, one a line. "
            "DICOM files of one series share one value range.",
            show_default=False,
        ),
    ],
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT",
            help="A file for one input file; a folder, made if need be, for several or for a folder. "
            "In it relative paths are kept and names end in _x2 (_x3, _x4).",
            show_default=False,
        ),
    ],
    scale: Annotated[
        int | None, typer.Option(min=2, max=4, help="Output pixels a side for each input pixel; 2 or the model's own.")
    ] = None,
    model: Annotated[
        str,
        typer.Option(
            metavar="auto|NAME|FILE|base",
            help="By modality; a shipped model (see `acutance models`); an .onnx file; or no network.",
        ),
    ] = "auto",
    backend: Annotated[
        str, typer.Option(help="What runs the model: auto, onnxruntime or tensorrt (taken where a GPU is found).")
    ] = "auto",
    tile: Annotated[
        int | None, typer.Option(min=1, help="Side in pixels that the network sees at once; chosen when not given.")
    ] = None,
    stitch: Annotated[Stitch, typer.Option(help="Tiles that overlap wholly, or less and are blended.")] = Stitch.exact,
    guard: Annotated[
        Guard | None,
        typer.Option(
            help="box: every block of output pixels averages to its input pixel. As the model says when not given."
        ),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="No network for pictures outside what the model was trained for.")
    ] = False,
    guide: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="A second, sharper picture of the same subject (T1 for T2) for models that take one: a NIfTI volume, "
            "or a DICOM file or the folder of a series in the same frame of reference.",
        ),
    ] = None,
    uncertainty: Annotated[
        bool,
        typer.Option(
            "--uncertainty",
            help="Write beside each result how sure it is, for models with quantiles: half the width of the interval "
            "that holds 90 of 100 true values, as a DICOM Parametric Map or NIfTI, and drawn over it as PNG.",
        ),
    ] = False,
    isotropic: Annotated[
        bool,
        typer.Option(
            "--isotropic",
            help="Thick slices (a DICOM series, a multi-frame object, NIfTI) to voxels as small along the slice axis "
            "as in the plane, by the networks on the two stacks across; with --scale also finer in the plane.",
        ),
    ] = False,
    mend: Annotated[
        bool,
        typer.Option(
            "--mend/--no-mend",
            help="Fill dead lines and dropped frames, and take undeclared padding for padding; else only name them.",
        ),
    ] = False,
    mask: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="A picture or volume that is not 0 where samples are missing: to be filled."),
    ] = None,
    display: Annotated[
        Display | None,
        typer.Option(
            help="Beside each result a picture for the eye, with adaptive contrast: a PNG file or a DICOM secondary "
            "capture, marked for presentation. The result itself stays as it is."
        ),
    ] = None,
    window: Annotated[
        str | None,
        typer.Option(metavar="C,W", help="Centre and width that --display shows; the header's when not given."),
    ] = None,
    int8: Annotated[
        bool, typer.Option("--int8", help="Model auto: 8 bits where that was measured to be faster here.")
    ] = False,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, help="Files that are enhanced at the same time.")] = 1,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Redo what is already right, and replace files that are not ours.")
    ] = False,
    modality: Annotated[
        str | None,
        typer.Option(metavar="CODE", help="CT, MR, ...: of pictures whose file does not say it (all but DICOM)."),
    ] = None,
    compress: Annotated[
        Compression | None, typer.Option(help="Lossless compression of DICOM pixels; none when not given.")
    ] = None,
    allow_burned_in: Annotated[
        bool, typer.Option("--allow-burned-in", help="Take DICOM files that say that text is burned into their pixels.")
    ] = False,
    max_pixels: Annotated[
        int | None, typer.Option(min=1, help="Pixels of one input file, more are refused; 2^28 when not given.")
    ] = None,
    precision: Annotated[
        Precision | None,
        typer.Option(help="Of a model that comes with acutance; fp16 when not given.", rich_help_panel=GPU),
    ] = None,
    batches: Annotated[
        str | None,
        typer.Option(
            help="Tiles at a time, as 1,2,4,8,16; like --tile as `bench engines` found it fastest when not given.",
            rich_help_panel=GPU,
        ),
    ] = None,
    flavour: Annotated[Flavour, typer.Option(help="Which TensorRT.", rich_help_panel=GPU)] = Flavour.auto,
    store: Annotated[
        Path | None,
        typer.Option(help="Folder of built engines; default: in the user's cache.", rich_help_panel=GPU),
    ] = None,
    gpu: Annotated[int, typer.Option(min=0, help="Number of the GPU.", rich_help_panel=GPU)] = 0,
    wait: Annotated[Wait, typer.Option(help="Wait for frames spinning, or asleep.", rich_help_panel=GPU)] = Wait.spin,
    gpu_memory: Annotated[
        int | None, typer.Option(min=1, metavar="MIB", help="Most memory to take on the GPU.", rich_help_panel=GPU)
    ] = None,
) -> None:
    """Enhance files, folders or whole series.

    What is already right in OUT is left alone, what is outdated or was interrupted is done again. Inputs that cannot be
    enhanced are named on stderr with the reason, and the rest goes on.

    Exit status: 0 all done, 3 some inputs were skipped, 1 none succeeded, 2 wrong usage, 130 interrupted.
    """
    from ..backends.settings import gpu_settings
    from ..display import Settings as DisplaySettings
    from ..enhancer import Enhancer
    from ..errors import ModelError, UsageError
    from ..geometry import SCALES
    from ..io import read_guide
    from . import batch, work
    from .missing import Missing, read_mask
    from .shown import Shown, window_of

    if display is not None and isotropic:
        raise UsageError("--display shows single pictures; make the volume isotropic first, then show its slices")
    if window is not None and display is None:
        raise UsageError("--window is what --display shows; give --display png or dicom")

    def make(scale: int | None) -> Enhancer:
        return Enhancer(
            model,
            backend,
            scale=scale,
            tile=tile,
            stitch=stitch.value,
            guard=guard.value if guard else None,
            strict=strict,
            threads=batch.threads_for(jobs),
            gpu=gpu_settings(
                engine={
                    "flavour": flavour.value,
                    **({} if precision is None else {"precision": precision.value}),
                    **({} if batches is None else {"batches": batches.split(",")}),
                },
                store=store,
                device=gpu,
                wait=wait.value,
                memory_limit=None if gpu_memory is None else gpu_memory << 20,
            ),
            int8=int8,
        )

    try:
        enhancer = make(scale)
        across = None
        if isotropic:
            across = {s: make(s) for s in SCALES} if model in ("auto", "base") else {enhancer.scale: enhancer}
    except ModelError as e:
        raise UsageError(str(e)) from None
    if guide is not None and not enhancer.guided:
        raise UsageError(f"--guide: {model} takes no guide; name a model that does with --model")
    if uncertainty and not enhancer.bounded:
        raise UsageError(f"--uncertainty: {model} gives no quantiles; name a model that does with --model")
    if isotropic and (guide is not None or uncertainty or enhancer.sequential):
        raise UsageError("--isotropic goes with no guide, no uncertainty and no model with memory; leave them out")
    settings = work.Settings(
        overwrite=overwrite,
        modality=modality.upper() if modality else None,
        compress=compress.value if compress else None,
        allow_burned_in=allow_burned_in,
        max_pixels=max_pixels,
        guide=None if guide is None else read_guide(guide, max_pixels),
        uncertainty=uncertainty,
        missing=Missing(mend, None if mask is None else read_mask(mask)),
        isotropic=scale,
        shown=None if display is None else Shown(display.value, DisplaySettings(window_of(window))),
    )
    with enhancer:
        code = batch.run(inputs, output, enhancer, settings, jobs, across)
    raise typer.Exit(code)
