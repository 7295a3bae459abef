"""Fail when a JUnit report holds a skip other than for hardware or data that a machine may lack.

python tools/check_skips.py REPORT.xml
"""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ET

ALLOWED = ("no GPU", "no ACUTANCE_DATA", "no full TensorRT", "no TensorRT-RTX for ")
"""What the reason of a skip may hold. TensorRT-RTX exists for some machines only, of which x86-64 is one."""


def refused(report: str) -> list[str]:
    """Return ``"test: reason"`` of every skip and expected failure in the file ``report`` that is not allowed."""
    found = []
    for case in ET.parse(report).iter("testcase"):
        for skip in case.iter("skipped"):
            reason = (skip.get("message") or "").strip()
            reason = reason.removeprefix("collection skipped").strip() or (skip.text or "").strip()
            if not any(word in reason for word in ALLOWED):
                found.append(f"{case.get('classname')}::{case.get('name')}: {reason}")
    return found


if __name__ == "__main__":
    bad = refused(sys.argv[1])
    for line in bad:
        print(f"skip not allowed here: {line}", file=sys.stderr)
    sys.exit(bool(bad))
