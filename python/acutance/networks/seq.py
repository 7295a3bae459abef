"""``seq``, the network for frames in time: it remembers what it saw and what it gave before."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..model import Input, Output
from . import rt
from .network import Network, convolve, start


class Seq(Network):
    """``rt`` with a memory: its first convolution also sees the frame before, the last result and a hidden state.

    Causal: no later frame is looked at. A second convolution beside the first sees what is remembered and starts at
    zero, one beside the last gives the next state, after a ReLU. So the seven convolutions of the defaults bear the
    names of ``rt``'s, and a network that starts from weights of ``rt`` starts as good as it. The recurrence in latent
    space is that of RLSP (Fuoli et al., ICCV workshops 2019), without its next frame. 264,260 parameters at scale 2
    with the defaults.

    All inputs but the frame are zeros at the start of a sequence.

    Parameters
    ----------
    scale : int
        2, 3 or 4.
    width, depth : int
        Channels and number of the inner convolutions.
    state : int
        Channels of the hidden state.
    expand : int
        Width of the re-parameterised chains of the inner convolutions, in multiples of ``width``; 0 trains plain ones.
    """

    frames = 2

    def __init__(self, scale: int = 2, width: int = 64, depth: int = 5, state: int = 64, expand: int = 0) -> None:
        super().__init__()
        self.scale, self.state = scale, state
        self.layers = rt.layers(1, scale, width, depth, expand)
        # Its result is added to that of a convolution with a bias.
        self.memory = nn.Conv2d(1 + scale**2 + state, width, 3, bias=False)
        self.remember = nn.Conv2d(width, state, 3)
        nn.init.zeros_(self.memory.weight)
        start(self.remember)

    @classmethod
    def settings_of(cls, weights: dict[str, Tensor]) -> dict[str, int]:
        """As :meth:`Network.settings_of`."""
        state, width = weights["remember.weight"].shape[:2]
        depth = sum(name.startswith("layers.") and name.endswith(".weight") for name in weights) - 2
        return {"width": width, "depth": depth, "state": state}

    @property
    def inputs(self) -> tuple[Input, ...]:
        """As :attr:`Network.inputs`."""
        return (
            Input(name="lr", role="lr", channels=1),
            Input(name="lr_previous", role="lr_previous", channels=1),
            Input(name="previous", role="previous", channels=1, unshuffle=self.scale),
            Input(name="state", role="state", channels=self.state),
        )

    @property
    def outputs(self) -> tuple[Output, ...]:
        """As :attr:`Network.outputs`."""
        return (*super().outputs, Output(name="next_state", role="state", channels=self.state))

    @property
    def radius(self) -> None:
        """The state carries what lies ever farther away."""
        return None

    def forward(
        self, lr: Tensor, lr_previous: Tensor, previous: Tensor, state: Tensor, padding: int = 1
    ) -> tuple[Tensor, Tensor]:
        """Return the residual ``[N, s*s, h, w]`` and the next state ``[N, state, h, w]``.

        Parameters
        ----------
        lr, lr_previous : Tensor
            ``[N, 1, h, w]``: this frame and the one before.
        previous : Tensor
            ``[N, s*s, h, w]``: the last result in mapped units, unshuffled.
        state : Tensor
            ``[N, state, h, w]``.
        padding : int
            As :meth:`Network.forward`.
        """
        remembered = convolve(self.memory, torch.cat([lr_previous, previous, state], dim=1), padding)
        x = torch.relu(convolve(self.layers[0], lr, padding) + remembered)
        for layer in self.layers[1:-1]:
            x = torch.relu(convolve(layer, x, padding))
        return convolve(self.layers[-1], x, padding), torch.relu(convolve(self.remember, x, padding))
