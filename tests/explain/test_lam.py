"""Attribution of networks whose receptive field and detail are known."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("scipy")

from torch import Tensor  # noqa: E402

from acutance import networks, oracle  # noqa: E402
from acutance.errors import ModelError, UsageError  # noqa: E402
from acutance.explain import lam  # noqa: E402


class Shifted(networks.Network):
    """Adds what lies ``away`` pixels to the right, and sees nothing else."""

    def __init__(self, away: int, gain: float = 1.0, scale: int = 2) -> None:
        super().__init__()
        self.scale, self.away, self.gain = scale, away, gain

    @classmethod
    def settings_of(cls, weights: dict[str, Tensor]) -> dict[str, int]:
        return {}

    @property
    def radius(self) -> int:
        return self.away

    def forward(self, x: Tensor, padding: int = 1) -> Tensor:
        assert padding == 0
        rows, cols = x.shape[2] - 2 * self.away, x.shape[3] - 2 * self.away
        part = x[:, :, self.away : self.away + rows, 2 * self.away : 2 * self.away + cols]
        return self.gain * part.repeat(1, self.scale**2, 1, 1)


def picture(rows: int = 70, cols: int = 60) -> np.ndarray:
    rng = np.random.default_rng(2)
    return (rng.random((rows, cols)) * 0.3 + (np.indices((rows, cols)).sum(0) % 9 > 4) * 0.4).astype(np.float32)


def trained(depth: int = 2) -> networks.Network:
    torch.manual_seed(3)
    network = networks.build("rt", width=6, depth=depth)
    with torch.no_grad():
        network.layers[-1].weight.mul_(20)
    return network.eval()


@pytest.mark.parametrize("base", ["cubic", "lanczos4"])
def test_values_sum_to_what_the_detail_gains(base: str) -> None:
    found = lam.attribute(trained(), picture(), (30, 25), base)
    assert abs(found.gained) > 1e-3 and found.detail > found.gained > 0
    assert found.error < 0.02


def test_nothing_outside_the_receptive_field_takes_part() -> None:
    for depth in (1, 3):
        network = trained(depth)
        found = lam.attribute(network, picture(), (30, 25))
        middle = len(found.values) // 2
        far = network.radius + lam.WINDOW * 3 / 2 + 1  # the detector's window itself is 3 sigma of output pixels wide
        away = np.maximum(*np.abs(np.indices(found.values.shape) - middle))
        assert (found.values[away > far] == 0).all()
        assert np.abs(found.values[away > far - 2]).max() > 0


def test_it_points_to_where_the_network_looks() -> None:
    """Of a network that copies what lies 12 pixels to the right, strongly, most comes from there."""
    found = lam.attribute(Shifted(12, gain=30.0), picture(), (30, 25))
    middle = len(found.values) // 2
    share = np.abs(found.values) / np.abs(found.values).sum()
    right = share[middle - 8 : middle + 9, middle + 4 : middle + 21].sum()
    assert right > 0.9 and share[:, :middle].sum() < 0.05
    assert found.reach() > 12 > lam.attribute(Shifted(12, gain=0.0), picture(), (30, 25)).reach()


def test_without_a_residual_it_is_of_the_base_as_the_core_makes_it() -> None:
    seen = picture()
    detector = lam._Detector(Shifted(3, gain=0.0), "cubic")
    square = lam._path(seen, (30, 25), detector.radius)[-1]
    got = detector.enlarged(torch.tensor(square[None, None], dtype=torch.float32))[0, 0].numpy()
    whole = oracle.base(seen, 2)
    core = detector.core
    wanted = whole[2 * (30 - core) : 2 * (30 + core + 1), 2 * (25 - core) : 2 * (25 + core + 1)]
    np.testing.assert_allclose(got, wanted, atol=2e-6)


def test_the_path_ends_at_the_picture_mirrored_beyond_its_edges() -> None:
    seen = picture(9, 7)
    path = lam._path(seen, (1, 6), 12)
    np.testing.assert_array_equal(
        path[-1], np.pad(seen, 12 + 9, mode="symmetric")[21 + 1 - 12 :, 21 + 6 - 12 :][:25, :25]
    )
    assert np.abs(np.diff(path[0])).mean() < 0.7 * np.abs(np.diff(path[-1])).mean()


def test_the_diffusion_index_is_zero_for_one_pixel_and_a_hundred_for_all() -> None:
    one = np.zeros((lam.SIDE + 1, lam.SIDE + 1))
    one[3, 4] = -2
    assert lam.Attribution(one, 1, 1).diffusion == pytest.approx(0, abs=0.1)
    assert lam.Attribution(np.ones_like(one), 1, 1).diffusion == pytest.approx(100, abs=0.1)
    half = np.zeros((5, 5))
    half[2, 2], half[0, 0] = 19, 1
    assert lam.Attribution(half, 1, 20).reach() == 0 and lam.Attribution(half, 1, 20).reach(0.96) == 2


def test_places_and_networks_that_cannot_be_explained_are_named() -> None:
    with pytest.raises(UsageError, match="--at 70,2 is not within the picture, which has 70 rows and 60 columns"):
        lam.attribute(trained(), picture(), (70, 2))

    class Unbounded(Shifted):
        @property
        def radius(self) -> None:  # type: ignore[override]
            return None

    with pytest.raises(ModelError, match="sees the whole picture at once"):
        lam.attribute(Unbounded(1), picture(), (3, 4))
