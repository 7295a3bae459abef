"""``acutance bench``: how fast, beside what a user would take instead; see ``docs/benchmarks.md``."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Literal

import typer

from .. import model as models
from ..backends.settings import GpuSettings
from ..errors import UsageError
from ..trt_engines import options

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Measure speed. Every result file says what shaped its numbers.",
)

Json = Annotated[Path | None, typer.Option(help="Write the numbers there, too.")]
Threads = Annotated[int, typer.Option(min=0, help="CPU threads; 0: as many as the process may use.")]
ModelName = Annotated[str, typer.Option(metavar="NAME|FILE", help="A shipped model or an .onnx file.")]
Backend = Annotated[str, typer.Option(help="What runs the model: auto, onnxruntime, tensorrt.")]
Precision = Annotated[Literal["fp32", "fp16", "int8"], typer.Option(help="Of the engine, with backend tensorrt.")]
Tile = Annotated[int, typer.Option(min=1, help="Of the engine: side that the network sees, halo included.")]
Wait = Annotated[Literal["spin", "block"], typer.Option(help="How backend tensorrt waits for a frame.")]
Fastest = Annotated[
    bool, typer.Option("--fastest", help="In place of --tile: what bench engines found fastest for this size and GPU.")
]
Target = Annotated[
    str | None, typer.Option(help="Compute capability that TensorRT-RTX builds for in place of the GPU's own, as sm80.")
]
StoreFolder = Annotated[Path | None, typer.Option("--store", help="Folder of engines (default: the user's own).")]


def integers(text: str) -> list[int]:
    """Return the positive integers of a comma-separated list.

    Raises
    ------
    UsageError
    """
    try:
        found = [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        found = []
    if not found or min(found) < 1:
        raise UsageError(f"'{text}' is no list of positive integers; wanted one such as 512,1024")
    return found


def frame_sizes(text: str) -> list[tuple[int, int]]:
    """Return columns and rows of a comma-separated list such as 640x480,1440x1080.

    Raises
    ------
    UsageError
    """
    found = re.fullmatch(r"\s*\d+x\d+\s*(,\s*\d+x\d+\s*)*", text)
    sizes = [(int(a), int(b)) for a, b in re.findall(r"(\d+)x(\d+)", text)]
    if not found or min(map(min, sizes)) < 1:
        raise UsageError(f"'{text}' is no list of sizes; wanted one such as 640x480,1440x1080")
    return sizes


def gpu_settings(
    precision: str, tile: int, wait: Literal["spin", "block"], store: Path | None, target: str | None
) -> GpuSettings:
    """Return how backend ``tensorrt`` is to run.

    Raises
    ------
    UsageError
    """
    return GpuSettings(engine=options.make(precision=precision, tile=tile), target=target, wait=wait, store=store)


def cpus(threads: int) -> int:
    """Return the number of threads that is meant: 0 stands for as many as the process may use."""
    return threads or len(os.sched_getaffinity(0))


@app.command("slice")
def slice_(
    model_names: Annotated[str, typer.Option("--models", help="Comma-separated names (default: all shipped).")] = "",
    sizes: Annotated[str, typer.Option(help="Sides of the square pictures.")] = "512,2048",
    repeats: Annotated[int, typer.Option(min=2)] = 7,
    threads: Threads = 0,
    memory: Annotated[int, typer.Option(min=1, help="Side of the picture whose peak memory is measured.")] = 4096,
    example: Annotated[Path, typer.Option(help="File that `acutance enhance` is timed on.")] = Path(
        "examples/ct-abdomen.dcm"
    ),
    json: Json = None,
) -> None:
    """A slice from pixels to pixels on the CPU, peak memory, and the time from command to file."""
    from . import slice as case

    names = [name for name in model_names.split(",") if name] or models.names()
    case.run(names, integers(sizes), repeats, cpus(threads), memory, example, json)


@app.command()
def kernels(
    on: Annotated[Literal["cpu", "cuda"], typer.Option(help="Where the ops run.")] = "cpu",
    size: Annotated[int, typer.Option(min=64, help="Side in pixels of gather's input and assemble's output.")] = 4096,
    threads: Annotated[int, typer.Option(min=1, help="On the CPU.")] = 2,
    repeats: Annotated[int, typer.Option(min=2)] = 15,
    path: Annotated[str, typer.Option(help="Instructions on the CPU: scalar, avx2, neon; the best when empty.")] = "",
    json: Json = None,
) -> None:
    """Bytes a second of the core's ops beside a copy in the same run; status 1 when one is slower than wanted."""
    from . import kernels as case

    if not case.run(on, size, threads, repeats, path, json):
        raise typer.Exit(1)


@app.command()
def page(
    results: Annotated[
        list[Path], typer.Argument(metavar="RESULTS...", help="Files of bench slice, latency and kernels.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The page, docs/speed.md.")],
) -> None:
    """Make docs/speed.md from result files."""
    from . import page as case

    case.write(results, output)


@app.command()
def latency(
    model: ModelName = "ct-rt-x2",
    sizes: Annotated[str, typer.Option(help="Sides of the square pictures.")] = "512,1024,2048",
    backend: Backend = "auto",
    rates: Annotated[str, typer.Option(help="Frames a second that it is fed at.")] = "60,30",
    loads: Annotated[
        str, typer.Option(help="What else runs: none, cpu (a process burns one CPU), gpu (copies on another stream).")
    ] = "none,cpu",
    frames: Annotated[int, typer.Option(min=2, help="Of each feed.")] = 1000,
    warm_up: Annotated[int, typer.Option(min=0, help="Frames before, which do not count.")] = 10,
    seconds: Annotated[float, typer.Option(min=0.1, help="A feed ends after so long, with fewer frames.")] = 20.0,
    threads: Threads = 0,
    precision: Precision = "fp16",
    tile: Tile = 128,
    fastest: Fastest = False,
    wait: Wait = "spin",
    target: Target = None,
    store: StoreFolder = None,
    json: Json = None,
) -> None:
    """Time of a frame from host memory to host memory: percentiles, jitter, missed deadlines, age."""
    from . import latency as case
    from . import ours

    setting = ours.Setting(backend, threads, gpu_settings(precision, tile, wait, store, target), fastest)
    length = case.Length(frames, warm_up, seconds)
    case.run(model, integers(sizes), setting, integers(rates), loads.split(","), length, json)


@app.command()
def engines(
    model: ModelName = "ct-rt-x2",
    size: Annotated[int, typer.Option(min=16, help="Side of the square picture.")] = 512,
    precisions: Annotated[str, typer.Option(help="fp32, fp16, int8, with commas.")] = "fp16,int8",
    tiles: Annotated[
        str, typer.Option(help="Sides of tiles; empty: 128 to 512. The whole picture is tried, too.")
    ] = "",
    batches: Annotated[str, typer.Option(help="Largest batches; a ladder of powers of two leads to each.")] = "1,4,16",
    channels_last: Annotated[
        Literal["both", "yes", "no"], typer.Option(help="Whether the network's output is NHWC.")
    ] = "both",
    frames: Annotated[int, typer.Option(min=2, help="Of each engine.")] = 200,
    warm_up: Annotated[int, typer.Option(min=0, help="Frames before, which do not count.")] = 20,
    seconds: Annotated[float, typer.Option(min=0, help="Begin no other engine after so long; 0: no limit.")] = 0.0,
    target: Target = None,
    store: StoreFolder = None,
    json: Json = None,
) -> None:
    """Build engines of every precision, tile and batch on this GPU; keep which is fastest beside them."""
    from . import engines as case
    from . import latency

    layouts = {"both": [False, True], "yes": [True], "no": [False]}[channels_last]
    sides = integers(tiles) if tiles else []
    asked = case.Asked(precisions.split(","), sides, integers(batches), layouts)
    settings = GpuSettings(store=store, target=target)
    case.run(model, size, asked, settings, latency.Length(frames, warm_up, 10.0), seconds, json)


@app.command()
def peers(
    model: ModelName = "ct-rt-x2",
    sizes: Annotated[str, typer.Option(help="Sides of the square pictures.")] = "512",
    backend: Backend = "auto",
    repeats: Annotated[int, typer.Option(min=2)] = 15,
    threads: Threads = 0,
    precision: Precision = "fp16",
    tile: Tile = 128,
    fastest: Fastest = False,
    wait: Wait = "spin",
    target: Target = None,
    store: StoreFolder = None,
    json: Json = None,
) -> None:
    """The same weights in torch, torch.compile, a CUDA graph, MONAI and ONNX Runtime, where they are installed."""
    from . import ours
    from . import peers as case

    setting = ours.Setting(backend, threads, gpu_settings(precision, tile, wait, store, target), fastest)
    case.run(model, integers(sizes), setting, repeats, cpus(threads), json)


@app.command()
def mrd(
    model: ModelName = "mr-rt-x2",
    sizes: Annotated[str, typer.Option(help="Sides of the square images.")] = "256,512",
    images: Annotated[int, typer.Option(min=2, help="Sent at once, to count images a second.")] = 20,
    repeats: Annotated[int, typer.Option(min=2)] = 9,
    threads: Threads = 0,
    json: Json = None,
) -> None:
    """Images through `acutance serve` with an MRD service, enhanced and passed through, on the CPU."""
    from . import mrd as case

    case.run(model, integers(sizes), images, repeats, cpus(threads), json)


@app.command()
def openigtlink(
    model_names: Annotated[str, typer.Option("--models", help="Comma-separated names.")] = "base,gray-rt-x2",
    sizes: Annotated[str, typer.Option(help="Columns and rows of the pictures.")] = "1440x1080",
    rate: Annotated[float, typer.Option(min=0.1, help="Pictures a second.")] = 30.0,
    seconds: Annotated[float, typer.Option(min=1, help="How long, after two that do not count.")] = 20.0,
    backend: Backend = "auto",
    threads: Threads = 0,
    json: Json = None,
) -> None:
    """Pictures through the OpenIGTLink filter, from socket to socket: how many, how old, as what."""
    from . import openigtlink as case

    case.run(model_names.split(","), frame_sizes(sizes), backend, threads, rate, seconds, json)


@app.command()
def node(
    associations: Annotated[str, typer.Option(help="At the same time, comma-separated.")] = "1,4,8",
    images: Annotated[int, typer.Option(min=1, help="Over each association.")] = 60,
    size: Annotated[int, typer.Option(min=16, help="Side of the square pictures, 16 bits.")] = 512,
    repeats: Annotated[int, typer.Option(min=1)] = 3,
    folder: Annotated[Path, typer.Option(help="On the disk that the receivers write to.")] = Path(),
    json: Json = None,
) -> None:
    """Images a second that a DICOM node takes, beside pynetdicom's and dcmtk's; status 1 when slower than wanted."""
    from . import node as case

    if not case.run(integers(associations), images, size, repeats, folder, json):
        raise typer.Exit(1)


@app.command()
def report(
    results: Annotated[list[Path], typer.Argument(metavar="RESULTS...", help="Result files of any benchmark.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The page.")] = Path("bench.html"),
) -> None:
    """One self-contained HTML page with plots from result files."""
    from . import report as case

    case.run(results, output)
    typer.echo(f"written to {output}")


@app.command()
def compare(
    a: Annotated[Path, typer.Argument(metavar="A", help="Result file before.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="Result file after.")],
    threshold: Annotated[float, typer.Option(min=0, help="Percent by which a median may grow.")] = 5.0,
) -> None:
    """How B differs from A; status 1 when something is slower by more than the threshold, beyond doubt (95 %)."""
    from . import compare as case

    if not case.run(a, b, threshold / 100):
        raise typer.Exit(1)
