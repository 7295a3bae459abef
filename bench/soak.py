"""``python -m acutance.bench.soak``: streams run for minutes; memory and the age of pictures must stay flat."""

from __future__ import annotations

import dataclasses
import gc
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from ..cli.ending import end
from ..enhancer import Enhancer
from ..errors import UsageError
from ..geometry import Array, Frame
from ..live.metrics import Metrics
from ..live.stream import Outgoing, Stream, StreamSettings
from . import record

STREAMS = ("base=320x240:base", "rt=48x32:gray-rt-x2")

PICTURES = 64
"""Different pictures of a stream, sent over and over."""

WARM_UP = 0.2
"""Part of the time that does not count: allocators and windows fill."""

MEMORY_MIB = 8.0
"""Growth over the rest, by a straight line through it, up to which memory is flat."""

AGE = 0.2
"""Part of the deadline by which the median age may drift over the rest, by a straight line through it."""


@dataclasses.dataclass(frozen=True)
class Source:
    """One stream to be run: ``NAME=COLSxROWS:MODEL``."""

    name: str
    rows: int
    cols: int
    model: str

    @classmethod
    def parse(cls, text: str) -> Source:
        """Read it from the command line.

        Raises
        ------
        UsageError
        """
        try:
            name, rest = text.split("=", 1)
            size, model = rest.split(":", 1)
            cols, rows = (int(x) for x in size.split("x"))
        except ValueError:
            raise UsageError(f"stream '{text}' is not as NAME=COLSxROWS:MODEL, e.g. {STREAMS[0]}") from None
        return cls(name, rows, cols, model)

    def pictures(self) -> list[Array]:
        """Return gray pictures of a scene that moves on a circle, with noise, in 8 bits."""
        rng = np.random.default_rng(3)
        margin = 16
        coarse = rng.integers(20, 230, (self.rows // 8 + 8, self.cols // 8 + 8)).astype(np.float32)
        scene = coarse.repeat(8, 0).repeat(8, 1)
        made = []
        for angle in np.linspace(0, 2 * np.pi, PICTURES, endpoint=False):
            down, right = round(margin * (1 + np.sin(angle))), round(margin * (1 + np.cos(angle)))
            part = scene[down : down + self.rows, right : right + self.cols]
            made.append((part + rng.normal(0, 4, part.shape)).clip(0, 255).astype(np.uint8))
        return made


class Running:
    """A stream and what was seen of it in the second that runs."""

    def __init__(self, source: Source, settings: StreamSettings, metrics: Metrics) -> None:
        self.source, self.pictures = source, source.pictures()
        self.metrics = metrics.of(stream=source.name)
        self.enhancer = Enhancer(source.model, threads=1)
        self.ages: list[float] = []
        self.put = 0
        self.stream = Stream(source.name, self.enhancer, settings, self._out, metrics)

    def feed(self) -> None:
        """Send the next picture."""
        self.stream.put(Frame(self.pictures[self.put % PICTURES], "US"))
        self.put += 1

    def row(self, second: float, resident: float) -> dict[str, Any]:
        """Return what was seen since the last row."""
        ages, self.ages = self.ages, []
        counted = {
            name: self.metrics.total(f"frames_{name}_total") for name in ("in", "out", "dropped", "late", "base", "nan")
        }
        found = {q: float(np.percentile(ages, q)) if ages else None for q in (50, 99, 100)}
        return {
            "stream": self.source.name,
            "second": round(second, 2),
            "resident_mib": round(resident, 2),
            "age_ms": {"p50": found[50], "p99": found[99], "max": found[100]},
            "frames": counted,
        }

    def close(self) -> None:
        self.stream.close()
        self.enhancer.close()

    def _out(self, outgoing: Outgoing) -> None:
        self.ages.append(outgoing.age_ms)


def resident_mib() -> float:
    """Return the memory of this process that lies in RAM."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def soak(sources: Sequence[Source], settings: StreamSettings, seconds: float, fps: float) -> list[dict[str, Any]]:
    """Feed all streams at ``fps`` pictures a second; return a row a second for each."""
    metrics = Metrics()
    running = [Running(source, settings, metrics) for source in sources]
    rows: list[dict[str, Any]] = []
    gc.collect()
    started = time.monotonic()
    ticks, next_row = 0, started + 1
    while (now := time.monotonic()) < started + seconds:
        due = started + ticks / fps
        if now < due:
            time.sleep(due - now)
        for one in running:
            one.feed()
        ticks += 1
        if now >= next_row:
            next_row += 1
            memory = resident_mib()
            rows += [one.row(now - started, memory) for one in running]
    for one in running:
        one.close()
    return rows


def judge(rows: Sequence[dict[str, Any]], deadline_ms: float) -> dict[str, Any]:
    """Say of one stream whether memory and age are flat."""
    kept = [r for r in rows[int(WARM_UP * len(rows)) :] if r["age_ms"]["p50"] is not None]
    if len(kept) < 4:
        raise UsageError("too few seconds to judge; wanted more")
    seconds = np.array([r["second"] for r in kept])

    def drift(values: list[float]) -> float:
        return float(np.polyfit(seconds, values, 1)[0] * (seconds[-1] - seconds[0]))

    memory = drift([r["resident_mib"] for r in kept])
    age = drift([r["age_ms"]["p50"] for r in kept])
    return {
        "stream": rows[-1]["stream"],
        "memory_drift_mib": round(memory, 3),
        "age_drift_ms": round(age, 3),
        "age_p50_ms": round(float(np.median([r["age_ms"]["p50"] for r in kept])), 3),
        "age_max_ms": round(max(r["age_ms"]["max"] for r in kept), 3),
        "frames": rows[-1]["frames"],
        "flat": memory <= MEMORY_MIB and abs(age) <= AGE * deadline_ms,
    }


def columns(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the rows of one stream as lists over the seconds."""
    ages = {f"age_{q}_ms": [r["age_ms"][q] and round(r["age_ms"][q], 3) for r in rows] for q in ("p50", "p99", "max")}
    counted = {f"frames_{name}": [r["frames"][name] for r in rows] for name in rows[0]["frames"]}
    plain = {name: [r[name] for r in rows] for name in ("second", "resident_mib")}
    return {"stream": rows[0]["stream"], **plain, **ages, **counted}


def draw(rows: Sequence[dict[str, Any]], deadline_ms: float, path: Path) -> None:
    """Draw memory and ages over time as PNG."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    names = list(dict.fromkeys(r["stream"] for r in rows))
    figure, axes = plt.subplots(len(names) + 1, 1, sharex=True, figsize=(9, 2.6 * (len(names) + 1)))
    first = [r for r in rows if r["stream"] == names[0]]
    axes[0].plot([r["second"] for r in first], [r["resident_mib"] for r in first], color="#30609b")
    axes[0].set_ylim(0, 1.3 * max(r["resident_mib"] for r in first))
    axes[0].set_ylabel("memory, MiB")
    for name, ax in zip(names, axes[1:], strict=True):
        own = [r for r in rows if r["stream"] == name and r["age_ms"]["p50"] is not None]
        for q, color in (("max", "#d0b0b0"), ("p99", "#d08030"), ("p50", "#30609b")):
            ax.plot([r["second"] for r in own], [r["age_ms"][q] for r in own], label=q, color=color, linewidth=1)
        ax.axhline(deadline_ms, color="#b03030", linestyle=":", label="deadline")
        ax.set_ylabel(f"{name}: age, ms")
        ax.legend(loc="upper right", ncols=4, fontsize="small")
    axes[-1].set_xlabel("seconds")
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)
    plt.close(figure)


def main(
    minutes: Annotated[float, typer.Option(min=0.05, help="How long.")] = 10.0,
    fps: Annotated[float, typer.Option(min=1, help="Pictures a second of each stream.")] = 30.0,
    deadline_ms: Annotated[float | None, typer.Option(min=1, help="Until a picture leaves; else 1000 / fps.")] = None,
    stream: Annotated[list[str] | None, typer.Option(metavar="NAME=COLSxROWS:MODEL", help="Streams to run.")] = None,
    json: Annotated[Path | None, typer.Option(help="File for the numbers.")] = None,
    plot: Annotated[Path | None, typer.Option(help="File for the plot, a PNG.")] = None,
) -> None:
    """Run streams for minutes; fail unless memory and the age of pictures stay flat."""
    sources = [Source.parse(text) for text in stream or STREAMS]
    settings = StreamSettings(fps=fps, deadline_ms=deadline_ms)
    about = record.machine()
    rows = soak(sources, settings, 60 * minutes, fps)
    deadline = deadline_ms or 1000 / fps
    apart = [[r for r in rows if r["stream"] == s.name] for s in sources]
    verdicts = [judge(own, deadline) for own in apart]
    if json is not None:
        said = {"streams": list(stream or STREAMS), "fps": fps, "deadline_ms": deadline, "minutes": minutes}
        record.write(json, "soak", [*verdicts, *(columns(own) for own in apart)], {**about, "soak": said})
    if plot is not None:
        draw(rows, deadline, plot)
    for v in verdicts:
        counted = ", ".join(f"{n:.0f} {name}" for name, n in v["frames"].items())
        typer.echo(
            f"{v['stream']}: {counted}; age {v['age_p50_ms']:.1f} ms, at most {v['age_max_ms']:.1f}, drift "
            f"{v['age_drift_ms']:.2f}; memory {v['memory_drift_mib']:+.2f} MiB; {'flat' if v['flat'] else 'NOT FLAT'}"
        )
    if not all(v["flat"] for v in verdicts):
        raise typer.Exit(1)


if __name__ == "__main__":
    end(lambda: typer.run(main))
