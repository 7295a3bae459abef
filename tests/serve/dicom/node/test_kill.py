"""The node is killed at random moments while it receives, enhances and sends; nothing that it acknowledged is lost."""

from __future__ import annotations

import collections
import json
import os
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

KILLS = int(os.environ.get("ACUTANCE_KILLS", "5"))
"""`make soak` asks for 50."""

REPORT = os.environ.get("ACUTANCE_KILLS_REPORT")
"""File for what happened, as JSON."""


@pytest.mark.slow
def test_every_acknowledged_instance_arrives_once_with_its_twin(
    tmp_path: Path,
    orthanc: Callable[..., Any],
    node: Callable[..., Any],
    make_series: Callable[..., list[Path]],
    helpers: Any,
) -> None:
    pacs = orthanc(OverwriteInstances=False)
    archive = orthanc(OverwriteInstances=False)
    proxy = node(
        f"""
[[service.destination]]
kind = "c-store"
name = "pacs"
ae_title = "ORTHANC"
address = "127.0.0.1"
port = {pacs.dicom}

[[service.destination]]
kind = "stow"
name = "archive"
url = "http://127.0.0.1:{archive.http}/dicom-web"
"""
    )
    chance, started = random.Random(1), time.monotonic()
    rounds = [make_series("CT", 12, f"-{i}") + make_series("MR", 4, f"-{i}") for i in range(KILLS)]
    acknowledged: collections.Counter[Path] = collections.Counter()
    to_send: list[Path] = []
    early = 0
    proxy.start()
    for paths in rounds:
        to_send += paths
        sender = threading.Thread(target=lambda p=list(to_send): acknowledged.update(helpers.send(proxy.port, p)))
        sender.start()
        time.sleep(chance.uniform(0.0, 4.0))
        proxy.kill()
        sender.join()
        to_send = [p for p in to_send if p not in acknowledged]
        while chance.random() < 0.3:  # also before it listens, while it puts the spool in order
            proxy.start(wait=False)
            time.sleep(chance.uniform(0.0, 6.0))
            proxy.kill()
            early += 1
        proxy.start()
    end = time.monotonic() + 60 + 10 * KILLS
    while to_send:
        assert time.monotonic() < end, f"{len(to_send)} instances are still not acknowledged"
        acknowledged.update(helpers.send(proxy.port, to_send))
        to_send = [p for p in to_send if p not in acknowledged]
    helpers.wait_for(
        lambda: not proxy.left(), 60 + 10 * KILLS, lambda: f"{proxy.left()} {proxy.log.read_text()[-3000:]}"
    )
    assert proxy.end() == 0
    assert not list((proxy.spool / "dead").iterdir())

    sent = {str(helpers.instance_uid(p)) for paths in rounds for p in paths}
    assert len(sent) == 16 * KILLS
    for found in (pacs.all(), archive.all()):
        twins = collections.Counter(helpers.twin_of(ds) for uid, ds in found.items() if uid not in sent)
        assert set(found) >= sent
        assert twins == collections.Counter(sent)
        assert len(found) == 2 * len(sent)
    deliveries = collections.Counter((x["destination"], x["instance"]) for x in proxy.journal())
    again = sum(n - 1 for n in deliveries.values())
    if REPORT:
        report = {
            "kills": KILLS,
            "kills while starting": early,
            "instances": len(sent),
            "destinations": 2,
            "files delivered": sum(deliveries.values()) - again,
            "delivered again with the same UID": again,
            "seconds": round(time.monotonic() - started),
        }
        Path(REPORT).write_text(json.dumps(report, indent=1) + "\n")
