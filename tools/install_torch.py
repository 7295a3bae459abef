"""Install PyTorch, but not several GB of CUDA packages without being told to.

    python tools/install_torch.py torch==2.13.0

Asks pip first what it would bring. ``ACUTANCE_TORCH_CUDA=1`` accepts the CUDA packages; for the CPU build point pip at
PyTorch's CPU index (pip's own configuration or ``PIP_INDEX_URL``).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

PIP = [sys.executable, "-m", "pip", "install", "-qq"]


def would_bring(requirements: list[str]) -> list[str]:
    """Return the names of the packages that pip would install now, those that are there left out."""
    done = subprocess.run([*PIP, "--dry-run", "--report", "-", *requirements], stdout=subprocess.PIPE, check=True)
    return [entry["metadata"]["name"].lower() for entry in json.loads(done.stdout)["install"]]


def main(requirements: list[str]) -> int:
    cuda = [name for name in would_bring(requirements) if name.startswith("nvidia-")]
    if cuda and os.environ.get("ACUTANCE_TORCH_CUDA") != "1":
        print(
            f"{' '.join(requirements)} from this index brings {len(cuda)} CUDA packages, several GB; point pip at"
            " PyTorch's CPU index, or accept them with ACUTANCE_TORCH_CUDA=1",
            file=sys.stderr,
        )
        return 1
    subprocess.run([*PIP, *requirements], check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
