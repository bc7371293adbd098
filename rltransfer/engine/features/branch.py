"""One features extractor, cut behind its frozen layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from stable_baselines3.common.policies import BaseModel
from torch import Tensor, nn

from rltransfer.engine.features.layout import channels_last, takes_channels_last


class Branch:
    """The frozen front and the rest of one extractor.

    Args:
        policy: The policy.
        extractor: One of its extractors.
        layers: The extractor's layers, input to output; empty if it is no chain of layers.
        cut: Number of layers in front of the cut; None for the whole extractor.

    Attributes:
        extractor: The extractor.
        layers: Its layers.
        cut: Number of layers in front of the cut.
        whole: Whether the whole extractor is in front of the cut.
        empty: Whether nothing is in front of the cut.
    """

    def __init__(
        self, policy: Any, extractor: nn.Module, layers: Sequence[nn.Module], cut: int | None
    ) -> None:
        self._policy = policy
        self.extractor = extractor
        self.layers = tuple(layers)
        self.whole = cut is None
        self.cut = len(self.layers) if cut is None else cut
        self.empty = cut == 0
        self._arrange = channels_last if takes_channels_last(extractor) else _as_it_is

    @property
    def front_modules(self) -> tuple[nn.Module, ...]:
        """Modules in front of the cut, without those inside them."""
        return (self.extractor,) if self.whole else self.layers[: self.cut]

    def front(self, observation: Any) -> Any:
        """Compute what the rest needs; the observation itself if nothing is in front."""
        if self.empty:
            return observation
        run = self.extractor if self.whole else _in_order(self.layers[: self.cut])
        return self._run(run, observation)

    def rest(self, activation: Any) -> Tensor:
        """Compute the features from what ``front`` gave."""
        if self.whole:
            return activation
        activation = self._arrange(activation)
        if self.empty:
            return self._run(self.extractor, activation)
        return _in_order(self.layers[self.cut :])(activation)

    def describe(self) -> str:
        """Say where the cut is, such as ``6 of 9 layers``."""
        if self.whole:
            return "all layers"
        return f"{self.cut} of {len(self.layers)} layers" if self.layers else "none"

    def _run(self, run: Callable[[Any], Any], observation: Any) -> Any:
        # SB3 normalizes images and encodes numbers here, whatever comes after.
        extract: Any = BaseModel.extract_features
        return extract(self._policy, observation, run)


def _as_it_is(value: Any) -> Any:
    return value


def _in_order(layers: Sequence[nn.Module]) -> Callable[[Tensor], Tensor]:
    def run(value: Tensor) -> Tensor:
        for layer in layers:
            value = layer(value)
        return value

    return run
