"""``python -m acutance.bench CASE [options]``."""

from __future__ import annotations

import importlib
import sys

CASES = {
    "kernels": "bytes a second of the core's ops beside memcpy",
    "page": "docs/speed.md from result files",
    "slice": "a slice from pixels to pixels beside what a user would take instead",
}
"""Modules of this package; each has ``main(arguments)``, which returns an exit status or None."""


def main(arguments: list[str]) -> int:
    if not arguments or arguments[0] not in CASES:
        print("usage: python -m acutance.bench CASE [options]\n", file=sys.stderr)
        for name, text in CASES.items():
            print(f"  {name:12}{text}", file=sys.stderr)
        return 0 if arguments in (["-h"], ["--help"]) else 2
    return importlib.import_module(f"{__package__}.{arguments[0]}").main(arguments[1:]) or 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
