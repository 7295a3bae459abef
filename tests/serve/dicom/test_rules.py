"""Which rule holds, and what the settings refuse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pydantic
import pytest

from acutance.serve.dicom.part10 import Received
from acutance.serve.dicom.rules import OTHERWISE, Known, choose, look
from acutance.serve.dicom.settings import DicomSettings, RuleSettings
from acutance.serve.dicom.spool import Spool

CT = "1.2.840.10008.5.1.4.1.1.2"
PACS = {"kind": "c-store", "name": "pacs", "ae_title": "PACS", "address": "127.0.0.1"}


def settings(**more: Any) -> DicomSettings:
    said = {
        "kind": "dicom",
        "name": "node",
        "receive": {"callers": ["*"]},
        "spool": {"folder": "/spool"},
        "destination": [PACS],
        **more,
    }
    return DicomSettings.model_validate(said)


@pytest.mark.parametrize(
    ("rule", "fits"),
    [
        ({}, True),
        ({"modality": ["MR", "ct"]}, True),
        ({"modality": ["MR"]}, False),
        ({"calling_ae": ["CT?"]}, True),
        ({"calling_ae": ["CT"]}, False),
        ({"series_description": ["*thorax*"]}, True),
        ({"series_description": ["thorax"]}, False),
        ({"modality": ["CT"], "calling_ae": ["MR*"]}, False),
        ({"modality": ["CT"], "calling_ae": ["CT*"], "series_description": ["[x]*", "soft*"]}, True),
    ],
)
def test_a_rule_fits_when_one_pattern_of_each_kind_does(rule: dict[str, Any], fits: bool) -> None:
    made = RuleSettings.model_validate(rule)
    found = choose([made], Known(CT, "CT", "CT1", "Soft Thorax 1.0"))
    assert (found is made) == fits
    assert fits or found is OTHERWISE


def test_the_first_rule_that_fits_holds() -> None:
    rules = settings(
        rule=[{"modality": ["MR"], "action": "drop"}, {"calling_ae": ["A"], "action": "forward"}, {"model": "base"}]
    ).rule
    assert choose(rules, Known(CT, "CT", "A", "")).action == "forward"
    assert choose(rules, Known(CT, "CT", "B", "")).model == "base"
    assert choose(rules, Known(CT, "MR", "A", "")).action == "drop"


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"destination": []}, "at least 1 item"),
        ({"destination": PACS}, "double brackets"),
        ({"destination": [PACS, PACS]}, "same name"),
        ({"destination": [{**PACS, "name": "a.b"}]}, "pattern"),
        ({"destination": [{**PACS, "kind": "ftp"}]}, "'c-store', 'stow'"),
        ({"destination": [{"kind": "stow", "name": "a", "url": "https://user:secret@host/x"}]}, "pattern"),
        ({"destination": [{"kind": "stow", "name": "a", "url": "https://h/x", "user": "u"}]}, "go together"),
        ({"rule": [{"destinations": ["archive"]}]}, "there are: pacs"),
        ({"rule": [{"action": "forward", "model": "base"}]}, "goes with action"),
        ({"rule": [{"modalities": ["CT"]}]}, "Extra inputs"),
    ],
)
def test_mistakes_are_named(more: dict[str, Any], says: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=says):
        settings(**more)


def test_what_cannot_be_read_is_known_by_its_class_and_sender(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    spool.recover()
    spool.receive(b"\xff" * 300, Received(CT, "1.2.3", "1.2.840.10008.1.2.1", "CT1", "::1"))
    taken = spool.take(0)
    assert taken is not None
    found = look(taken.source)
    assert found == Known(CT, "CT", "CT1", "")
    assert found.is_picture
