"""Read what ptxas said of the kernels when they were built: registers as a table, and fail on spills or stack frames.

python tools/check_cuda.py BUILD_FOLDER [ARCHITECTURE...]

Fails too when an architecture's machine code is larger than CODE bytes, when there is no CUDA module, when an
architecture that is named was not compiled for, and when the installed module does not import. It must do so on a
machine without a GPU.
"""

from __future__ import annotations

import argparse
import re
import struct
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

CODE = 3_500_000
"""Most bytes of machine code for one architecture, before compression: 2,465,448 for sm_80 with CUDA 13.0, and slack
for newer compilers and wider instructions. Templates that multiply show here first."""

FATBIN, ENTRY = struct.Struct("<IHHQ"), struct.Struct("<HHIQIIHHIIIQQQ")
"""Header of a fat binary (magic, version, its own size, bytes that follow) and of an entry in it: kind, version, its
own size, bytes that follow, compressed size, options, minor, major, architecture, name, its length, flags, reserved,
size once decompressed. cuobjdump prints the same, but does not come with every toolkit."""

MAGIC, MACHINE_CODE = 0xBA55ED50, 2

KERNEL = re.compile(
    r"Compiling entry function '(?P<symbol>\w+)' for 'sm_(?P<architecture>\d+)\w*'\n"
    r"ptxas info\s*: Function properties for (?P=symbol)\n"
    r"\s*(?P<stack>\d+) bytes stack frame, (?P<stores>\d+) bytes spill stores, (?P<loads>\d+) bytes spill loads\n"
    r"ptxas info\s*: Used (?P<registers>\d+) registers"
)


@dataclass(frozen=True)
class Kernel:
    """What ptxas says of one kernel compiled for one architecture; memory in bytes for each thread."""

    symbol: str
    architecture: int
    registers: int
    stack: int
    spilled: int

    @property
    def kept_in_registers(self) -> bool:
        return self.stack == 0 and self.spilled == 0


def read_log(text: str) -> list[Kernel]:
    """Return the kernels of a build's log.

    Raises
    ------
    ValueError
        The log names kernels without saying what they use.
    """
    found = [
        Kernel(
            m["symbol"],
            int(m["architecture"]),
            int(m["registers"]),
            int(m["stack"]),
            int(m["stores"]) + int(m["loads"]),
        )
        for m in KERNEL.finditer(text)
    ]
    named = text.count("Compiling entry function")
    if len(found) != named:
        raise ValueError(f"the log names {named} kernels and says of {len(found)} what they use")
    return found


def code_sizes(module: bytes) -> dict[int, int]:
    """Return the bytes of machine code in a compiled module by architecture, decompressed.

    Raises
    ------
    ValueError
        There is a fat binary that cannot be read.
    """
    found: dict[int, int] = {}
    at = module.find(MAGIC.to_bytes(4, "little"))
    while at >= 0:
        _, version, header, size = FATBIN.unpack_from(module, at)
        if version != 1 or at + header + size > len(module):
            raise ValueError(
                f"the fat binary at {at} has version {version} and {size} bytes; wanted version 1, within the file"
            )
        place, end = at + header, at + header + size
        while place < end:
            kind, _, own, length, *_, architecture, _, _, _, _, whole = ENTRY.unpack_from(module, place)
            if kind == MACHINE_CODE:
                found[architecture] = found.get(architecture, 0) + (whole or length)
            place += own + length
        at = module.find(MAGIC.to_bytes(4, "little"), end)
    return found


def readable(symbols: Iterable[str]) -> dict[str, str]:
    """Return C++ names without namespaces and arguments, as far as ``c++filt`` is there."""
    symbols = list(symbols)
    try:
        done = subprocess.run(["c++filt", "-p"], input="\n".join(symbols), capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return {s: s for s in symbols}
    names = re.sub(r"acutance::|\(anonymous namespace\)::", "", done.stdout).split("\n")
    return dict(zip(symbols, names, strict=False))


def table(kernels: list[Kernel]) -> list[str]:
    """Return lines: a kernel each, its registers for each architecture; where it uses memory, ``!stack+spilled``."""
    architectures = sorted({k.architecture for k in kernels})
    names = readable(sorted({k.symbol for k in kernels}))
    cells = {
        (k.symbol, k.architecture): str(k.registers) + ("" if k.kept_in_registers else f"!{k.stack}+{k.spilled}")
        for k in kernels
    }
    width = max(map(len, names.values()))
    lines = [f"{'registers of':<{width}}" + "".join(f"{f'sm_{a}':>9}" for a in architectures)]
    for symbol, name in sorted(names.items(), key=lambda item: item[1]):
        lines.append(f"{name:<{width}}" + "".join(f"{cells.get((symbol, a), '-'):>9}" for a in architectures))
    return lines


def find_log(build: Path) -> Path | None:
    """Return the newest log of the kernels under ``build``."""
    return max(build.rglob("cuda.cu.o.log"), key=lambda path: path.stat().st_mtime, default=None)


def problems(kernels: list[Kernel], wanted: Iterable[int]) -> list[str]:
    """Return what is wrong, a line each."""
    found = [
        f"sm_{k.architecture}: {k.stack} bytes of stack and {k.spilled} of spills, wanted none: {k.symbol}"
        for k in kernels
        if not k.kept_in_registers
    ]
    for architecture in sorted(set(wanted) - {k.architecture for k in kernels}):
        found.append(f"no kernel was compiled for sm_{architecture}")
    return found


def module_problems() -> list[str]:
    """Return what is wrong with the CUDA module of the installed package."""
    from acutance import _native

    if _native.cuda is None:
        return ["the installed acutance has no CUDA module; cmake's verdict on nvcc says why (pip install -v)"]
    print(f"{_native.cuda.__file__} imports; CUDA devices: {_native.cuda_device_count()}")
    return size_problems(code_sizes(Path(_native.cuda.__file__).read_bytes()))


def size_problems(sizes: dict[int, int]) -> list[str]:
    """Print the size of each architecture's code, and return what is too large, a line each."""
    if not sizes:
        return ["the CUDA module holds no machine code"]
    print("machine code: " + ", ".join(f"sm_{a} {n / 1e6:.2f} MB" for a, n in sorted(sizes.items())))
    return [f"sm_{a}: {n} bytes of machine code, wanted at most {CODE}" for a, n in sorted(sizes.items()) if n > CODE]


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", type=Path)
    parser.add_argument("architectures", type=int, nargs="*")
    options = parser.parse_args(arguments)
    log = find_log(options.build)
    if log is None:
        print(f"no kernels were built under {options.build}; cmake's verdict on nvcc says why", file=sys.stderr)
        return 1
    kernels = read_log(log.read_text(encoding="utf-8", errors="replace"))
    print("\n".join(table(kernels)))
    kept = sum(k.kept_in_registers for k in kernels)
    print(f"{kept} of {len(kernels)} kernels live in registers alone: no stack frame, no spills")
    bad = problems(kernels, options.architectures) + module_problems()
    for line in bad:
        print(line, file=sys.stderr)
    return int(bool(bad))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
