"""``guided``, a network that a second, sharper picture of the same subject helps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import UsageError
from ..model import Input
from .bal import Bal
from .network import Network, centre, convolve
from .rt import Rt

DEPTHS = 3
"""At how many depths of the trunk the guide comes in."""


class Guided(Network):
    """A trunk, to whose features those of a guide are added at three depths: the first, the middle, the last.

    The guide's convolutions have no bias, so that a guide of zeros adds nothing: without a guide comes exactly what
    the trunk gives alone. The 1x1 convolutions that add start at zero, so that a network that starts from the weights
    of its trunk starts as good as it.

    Parameters
    ----------
    scale : int
        2, 3 or 4.
    width : int
        Channels of the guide's features.
    trunk : mapping
        Arguments of :class:`Rt` or :class:`Bal`, and ``kind``, ``"rt"`` or ``"bal"``. It has at least three stages.
    """

    def __init__(self, scale: int = 2, width: int = 32, trunk: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self.scale = scale
        settings = dict(trunk or {})
        self.trunk = _TRUNKS[settings.pop("kind", "rt")](scale=scale, **settings)
        last = self.trunk.stages - 1
        if last < DEPTHS - 1:
            raise UsageError(f"a guide comes in at {DEPTHS} depths of its trunk; this one has {last + 1}")
        self.places = (0, last // 2, last)
        channels = (scale**2, width, width)
        self.guide = nn.ModuleList([nn.Conv2d(c, width, 3, bias=False) for c in channels])
        into = self.trunk.width
        self.add = nn.ModuleList([nn.Conv2d(width, into, 1, bias=False) for _ in range(DEPTHS)])
        for layer in self.guide:
            assert isinstance(layer, nn.Conv2d)
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        for layer in self.add:
            assert isinstance(layer, nn.Conv2d)
            nn.init.zeros_(layer.weight)

    @classmethod
    def settings_of(cls, weights: dict[str, Tensor]) -> dict[str, Any]:
        """As :meth:`Network.settings_of`."""
        inner = {k.removeprefix("trunk."): v for k, v in weights.items() if k.startswith("trunk.")}
        kind = "bal" if "head.weight" in inner else "rt"
        return {
            "width": weights["guide.0.weight"].shape[0],
            "trunk": {"kind": kind, **_TRUNKS[kind].settings_of(inner)},
        }

    @property
    def inputs(self) -> tuple[Input, ...]:
        """As :attr:`Network.inputs`."""
        return (*super().inputs, Input(name="guide", role="guide", channels=1, unshuffle=self.scale))

    @property
    def radius(self) -> int:
        """As :attr:`Network.radius`; the guide passes no more convolutions than the picture does."""
        return self.trunk.radius

    def start_from(self, weights: Mapping[str, Tensor]) -> list[str]:
        """As :meth:`Network.start_from`; weights of what the trunk is are the trunk's."""
        return super().start_from({**{f"trunk.{name}": value for name, value in weights.items()}, **weights})

    def forward(self, lr: Tensor, guide: Tensor, padding: int = 1) -> Tensor:
        """Return the residual ``[N, s*s, h, w]``.

        Parameters
        ----------
        lr : Tensor
            ``[N, 1, h, w]``.
        guide : Tensor
            ``[N, s*s, h, w]``: the guide at the result's resolution, its own range mapped to 0 and 1, unshuffled.
            Zeros where there is none.
        padding : int
            As :meth:`Network.forward`.
        """
        found = []
        for layer in self.guide:
            guide = torch.relu(convolve(layer, guide, padding))
            found.append(guide)

        def fuse(stage: int, x: Tensor) -> Tensor:
            if stage not in self.places:
                return x
            k = self.places.index(stage)
            return x + convolve(self.add[k], centre(found[k], x), padding)

        return self.trunk(lr, padding, fuse)  # type: ignore[no-any-return]


_TRUNKS: dict[str, type[Rt] | type[Bal]] = {"rt": Rt, "bal": Bal}
