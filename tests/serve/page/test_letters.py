"""Where the edges of a picture lie in the patient."""

from __future__ import annotations

from pathlib import Path

import pytest

import acutance
from acutance.geometry import Plane
from acutance.serve.page.answers import edges, letters

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"


@pytest.mark.parametrize(
    ("right", "down", "said"),
    [
        ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), ("A", "L", "P", "R")),  # axial
        ((1.0, 0.0, 0.0), (0.0, 0.0, -1.0), ("H", "L", "F", "R")),  # coronal
        ((0.0, 1.0, 0.0), (0.0, 0.0, -1.0), ("H", "P", "F", "A")),  # sagittal
        ((0.7, 0.7, 0.1), (0.0, 0.0, -1.0), ("H", "LP", "F", "RA")),  # oblique
    ],
)
def test_edges(right: tuple[float, float, float], down: tuple[float, float, float], said: tuple[str, ...]) -> None:
    assert edges(Plane((0, 0, 0), down, right)) == said


def test_of_the_example() -> None:
    (frame,) = acutance.read(EXAMPLES / "mr-brain.dcm")
    assert frame.plane is not None and edges(frame.plane) == ("H", "P", "F", "A")


def test_a_small_tilt_is_not_said_and_nothing_leads_nowhere() -> None:
    assert letters((0.97, 0.25, 0.0)) == "L" and letters((0.9, -0.3, 0.3)) == "LAH" and letters((0, 0, 0)) == ""
