"""The same weights on the same picture in what else runs them: PyTorch four ways, and ONNX Runtime on GPU and CPU."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich import progress
from rich.console import Console
from rich.table import Table

from .. import model as models
from . import ours, record, rivals


def calls(shown: rivals.Shown, threads: int) -> dict[str, Callable[[], Callable[[], object]]]:
    """Return what makes each way ready to be called; whether a way can be had shows when it is made."""
    made: dict[str, Callable[[], Callable[[], object]]] = {
        "ONNX Runtime, CPU": lambda: rivals.onnxruntime(shown, threads),
        **_onnxruntime_cuda(shown, threads),
    }
    for device in _torch_devices():
        made |= _torch(shown, threads, device)
    return made


def _onnxruntime_cuda(shown: rivals.Shown, threads: int) -> dict[str, Callable[[], Callable[[], object]]]:
    import onnxruntime as ort

    provider = "CUDAExecutionProvider"
    if provider not in ort.get_available_providers():
        return {}
    return {"ONNX Runtime, CUDA": lambda: rivals.onnxruntime(shown, threads, provider)}


def _torch_devices() -> list[str]:
    try:
        import torch
    except ImportError:
        return []
    return ["cuda"] if torch.cuda.is_available() else ["cpu"]


def _torch(shown: rivals.Shown, threads: int, device: str) -> dict[str, Callable[[], Callable[[], object]]]:
    half = device == "cuda"  # what a user of a GPU would take, and what our engines take
    kind = f"torch, {'CUDA, half' if half else 'CPU'}"

    def network() -> rivals.TorchNetwork:
        return rivals.TorchNetwork(shown, threads, device, half)

    made: dict[str, Callable[[], Callable[[], object]]] = {
        f"{kind}: eager": lambda: network().whole,
        f"{kind}: compile": lambda: network().compiled(),
        f"{kind}: MONAI sliding window": lambda: rivals.torch(shown, threads, device, half)[rivals.MONAI],
    }
    if half:
        made[f"{kind}: CUDA graph"] = lambda: network().graphed()
    return made


def ready(made: dict[str, Callable[[], Callable[[], object]]], console: Console) -> dict[str, Callable[[], object]]:
    """Make each way and run it once; name those that do not work here, and leave them out."""
    found = {}
    for name, make in made.items():
        try:
            call = make()
            call()
        except Exception as e:  # whatever a rival raises, the others still count
            reason = (str(e).strip() or type(e).__name__).splitlines()[0]
            console.print(f"left out: {name}: {type(e).__name__}: {reason[:120]}", highlight=False, markup=False)
            continue
        found[name] = call
    return found


def run(name: str, sizes: list[int], setting: ours.Setting, repeats: int, threads: int, json: Path | None) -> None:
    """Measure, print the table and write the result file."""
    about, rows = record.machine(), []
    console = Console()
    table = Table("size", "way", "ms (median)", "time over ours", title=f"{name}: the same weights elsewhere")
    for size in progress.track(sizes, "peers"):
        shown = rivals.Shown.of(models.load(name), size)
        with ours.opened(shown, setting) as frame:
            ways: rivals.Calls = {rivals.OURS: frame.run, **ready(calls(shown, threads), console)}
            found: list[dict[str, Any]] = rivals.rows(record.interleaved(ways, repeats))
            for row in found:
                own = frame.about() if row["way"] == rivals.OURS else {}
                rows.append({"model": name, "size": size, **own, **row})
                table.add_row(str(size), row["way"], f"{row['ms']['p50']:.2f}", f"{row['ratio']:.2f}")
    console.print(table)
    if json:
        record.write(json, "peers", rows, about)
