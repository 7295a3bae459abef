"""STOW-RS against Orthanc's DICOMweb plugin, read back by dicomweb-client."""

from __future__ import annotations

import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydicom
import pytest

from acutance.serve.dicom.part10 import split

pytest.importorskip("dicomweb_client")

from dicomweb_client.api import DICOMwebClient


@pytest.mark.slow
def test_an_archive_gets_the_bytes_of_the_source_and_its_twin(
    orthanc: Callable[..., Any], node: Callable[..., Any], make_series: Callable[..., list[Path]], helpers: Any
) -> None:
    archive = orthanc()
    url = f"http://127.0.0.1:{archive.http}/dicom-web"
    proxy = node(f'[[service.destination]]\nkind = "stow"\nname = "archive"\nurl = "{url}"\n')
    proxy.start()
    paths = make_series("CT", 2)
    assert helpers.send(proxy.port, paths) == paths
    helpers.wait_for(lambda: archive.count() == 4 and not proxy.left(), 60, proxy.log.read_text)
    assert proxy.end() == 0

    client = DICOMwebClient(url)
    (study,) = client.search_for_studies()
    found = client.retrieve_study(study["0020000D"]["Value"][0])
    assert sum("ContributingEquipmentSequence" in ds for ds in found) == 2
    assert {helpers.twin_of(ds) for ds in found if "ContributingEquipmentSequence" in ds} == {
        helpers.instance_uid(p) for p in paths
    }
    sent = {helpers.instance_uid(p): p.read_bytes()[split(p)[1] :] for p in paths}
    for name in archive.ask("instances"):
        with urllib.request.urlopen(f"http://127.0.0.1:{archive.http}/instances/{name}/file", timeout=20) as answer:
            data = answer.read()
        stored = proxy.home / "stored.dcm"
        stored.write_bytes(data)
        uid = str(pydicom.dcmread(stored).SOPInstanceUID)
        if uid in sent:
            assert data[split(stored)[1] :] == sent[uid]
