"""What `bench mrd` measures, with a server of its own."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

pytest.importorskip("ismrmrd", reason="no ismrmrd")
from acutance.bench import mrd as case

from acutance.errors import BackendError
from acutance.serve.mrd import protocol


def test_ways_are_timed_beside_each_other(tmp_path: Path) -> None:
    case.run("mr-rt-x2", [24], 3, 2, 1, tmp_path / "mrd.json")
    rows = json.loads((tmp_path / "mrd.json").read_text())["rows"]
    assert [r["way"] for r in rows] == ["passthrough", "base", "mr-rt-x2", case.ALONE]
    assert all(r["ms"]["n"] == 2 and r["ms"]["min"] > 0 for r in rows)
    assert all(r["per_second"]["n"] == 2 for r in rows[:3]) and "per_second" not in rows[3]


def test_a_text_is_no_image_that_came_fast() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = case.Client(server.getsockname()[1], "no such config", case.picture(8))
        peer, _ = server.accept()
        peer.sendall(b"".join(protocol.text("acutance: no config").wire()))
        with pytest.raises(BackendError, match="the server answered: acutance: no config"):
            client.receive()
        client.close()
        peer.close()
