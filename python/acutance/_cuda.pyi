from typing import Any

def device_count() -> int: ...
def fill(slice: Any, mask: Any, out: Any, scratch: Any, stream: int) -> None: ...
def gather(
    slice: Any,
    rows: tuple[int, int, int, int],
    cols: tuple[int, int, int, int],
    gain: float,
    bias: float,
    unshuffle: int,
    layout: str,
    first: int,
    out: Any,
    params: Any | None,
    stream: int,
) -> None: ...
def assemble(
    residual: Any | None,
    slice: Any,
    rows: tuple[int, int, int, int],
    cols: tuple[int, int, int, int],
    scale: int,
    gain: float,
    base: str,
    guard: bool,
    low: float | None,
    high: float | None,
    mask: Any | None,
    padding: float,
    layout: str,
    first: int,
    row0: int,
    row1: int,
    out: Any,
    nonfinite: Any,
    params: Any | None,
    stream: int,
) -> None: ...

class Event:
    def __init__(self, blocking: bool = False) -> None: ...
    def record(self, stream: int) -> None: ...
    def wait(self) -> None: ...
    def elapsed_ms(self, since: Event) -> float: ...

class Graph:
    def __init__(self) -> None: ...
    def begin(self, stream: int) -> None: ...
    def end(self, stream: int) -> None: ...
    def launch(self, stream: int) -> None: ...
    def abort(self, stream: int) -> None: ...
