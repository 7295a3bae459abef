"""Pictures a second of a video file, beside what ffmpeg's own filter makes of it.

python -m acutance.bench.video --json bench/results/video-cpu.json
"""

from __future__ import annotations

import resource
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any

import typer

from ..enhancer import Enhancer
from ..serve.video.convert import convert
from ..serve.video.ffmpeg import find
from ..serve.video.settings import EncodeSettings
from . import record

MODELS = ("base", "gray-rt-x2", "gray-seq-x2")

RIVAL = "ffmpeg scale=lanczos"


def make_clip(path: Path, size: str, pictures: int) -> None:
    """Write a clip of a slow zoom in H.264."""
    pattern = ["-f", "lavfi", "-i", f"mandelbrot=s={size}:r=25:maxiter=500", "-frames:v", str(pictures)]
    coded = ["-c:v", "libx264", "-crf", "17", "-pix_fmt", "yuv420p", "-colorspace", "bt709", "-color_range", "tv"]
    subprocess.run([find(), "-v", "error", "-nostdin", "-y", *pattern, *coded, str(path)], check=True)


def ways(source: Path, folder: Path, models: Sequence[str]) -> dict[str, Callable[[], object]]:
    """Return what turns the clip into one of twice the size, by its name: all with the same encoder and settings."""
    encoding = EncodeSettings()

    def ours(model: str) -> Callable[[], object]:
        def run() -> None:
            with Enhancer(model) as enhancer:
                convert(source, folder / "ours.mp4", enhancer, encoding=encoding)

        return run

    def theirs() -> None:
        scale = ["-vf", "scale=2*iw:2*ih:flags=lanczos"]
        coded = ["-c:v", "libx264", "-preset", "fast", "-crf", str(encoding.quality), str(folder / "theirs.mp4")]
        subprocess.run([find(), "-v", "error", "-nostdin", "-y", "-i", str(source), *scale, *coded], check=True)

    return {RIVAL: theirs, **{model: ours(model) for model in models}}


def measure(size: str, pictures: int, rounds: int, models: Sequence[str] = MODELS) -> list[dict[str, Any]]:
    """Time each way, one after the other, ``rounds`` times; decoding, encoding and starting included.

    Seconds depend on what else the machine does, the time of its processor much less.
    """
    with tempfile.TemporaryDirectory() as name:
        source = Path(name) / "clip.mp4"
        make_clip(source, size, pictures)
        seconds: dict[str, list[float]] = {}
        busy: dict[str, list[float]] = {}
        for _ in range(rounds):
            for way, run in ways(source, Path(name), models).items():
                start, before = perf_counter(), _processor_time()
                run()
                seconds.setdefault(way, []).append(perf_counter() - start)
                busy.setdefault(way, []).append(_processor_time() - before)
    return [
        {
            "name": way,
            "size": size,
            "pictures": pictures,
            "seconds": [round(t, 3) for t in times],
            "pictures_a_second": round(pictures / min(times), 2),
            "processor_ms_a_picture": round(1000 * min(busy[way]) / pictures, 1),
        }
        for way, times in seconds.items()
    ]


def _processor_time() -> float:
    """Return the seconds that this process and those that it has ended were at work, on whatever core."""
    found = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in found)


def main(
    size: Annotated[str, typer.Option(help="Of the source.")] = "640x480",
    pictures: Annotated[int, typer.Option(min=1)] = 50,
    rounds: Annotated[int, typer.Option(min=1, help="The best one counts.")] = 2,
    json: Annotated[Path | None, typer.Option(help="Where the numbers go.")] = None,
) -> None:
    """Time video files."""
    about = record.machine()
    rows = measure(size, pictures, rounds)
    for row in rows:
        typer.echo(
            f"{row['name']:22} {row['pictures_a_second']:8.2f} pictures a second, "
            f"{row['processor_ms_a_picture']:7.1f} ms of a core each"
        )
    if json is not None:
        record.write(json, "video", rows, about)


if __name__ == "__main__":
    from ..cli.ending import end

    end(lambda: typer.run(main))
