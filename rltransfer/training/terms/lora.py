"""The term of low-rank changes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from torch.optim import Adam

from rltransfer.errors import RecipeError
from rltransfer.methods import LoRA
from rltransfer.training.streams import stream
from rltransfer.training.terms.setting import Setting, term_of
from rltransfer.training.terms.term import Term, below
from rltransfer.training.terms.weights import require_actor

# As SB3's policies.
EPSILON = 1e-5


class LowRank:
    """A matrix that is where it began, plus a scaled product of two thin ones.

    Args:
        weight: The matrix, shape (outputs, inputs).
        rank: Largest rank of its change.
        scale: Factor on the product.
        generator: Draws the right factor.

    Attributes:
        weight: The matrix.
        left: Shape (outputs, rank), zeros.
        right: Shape (rank, inputs), uniform within 1 / sqrt(inputs).
    """

    def __init__(self, weight: Tensor, rank: int, scale: float, generator: torch.Generator) -> None:
        outputs, inputs = weight.shape
        rank = min(rank, outputs, inputs)
        drawn = torch.empty(rank, inputs).uniform_(-1, 1, generator=generator) / inputs**0.5
        self.weight = weight
        self.left = weight.new_zeros(outputs, rank)
        self.right = drawn.to(weight)
        self._scale = scale
        self._origin = weight.detach().clone()

    def differentiate(self) -> None:
        """Turn the gradient of the matrix into those of the factors, by the chain rule."""
        whole, self.weight.grad = self.weight.grad, None
        for factor in (self.left, self.right):
            factor.grad = None
        if whole is not None:
            self.left.grad = self._scale * whole @ self.right.T
            self.right.grad = self._scale * self.left.T @ whole

    @torch.no_grad()
    def merge(self) -> None:
        """Write the matrix."""
        self.weight.copy_(self._origin + self._scale * self.left @ self.right)


class LoRATerm(Term):
    """Trains changes of low rank with an optimizer of its own.

    The policy always holds whole matrices. Their gradients go to the factors, and are taken away
    from the policy's optimizer, which leaves alone what has none. Factors are clipped together, to
    the norm that PPO allows the rest.

    Args:
        method: The method.
        optimizer: The policy's, which tells the learning rate.
        max_grad_norm: Largest norm of the factors' gradients.
        matrices: Matrices by name.
        biases: What stays as it is.
        generator: Draws factors.
        rates: Further factors on the learning rate, by name of the matrix.
    """

    def __init__(
        self,
        method: LoRA,
        optimizer: Any,
        max_grad_norm: float,
        matrices: Mapping[str, Tensor],
        biases: Iterable[Tensor],
        generator: torch.Generator,
        rates: Mapping[str, float],
    ) -> None:
        self.name = method.name
        self._lr_scale, self._optimizer = method.lr_scale, optimizer
        self._max_grad_norm = max_grad_norm
        self._biases = list(biases)
        scale = method.alpha / method.rank
        self.layers = {
            name: LowRank(one, method.rank, scale, generator) for name, one in matrices.items()
        }
        self._adam = Adam(
            [
                {"params": [one.left, one.right], "factor": rates.get(name, 1.0)}
                for name, one in self.layers.items()
            ],
            eps=EPSILON,
        )

    @property
    def withheld(self) -> int:
        """Matrices and biases that would train, less the factors of these matrices."""
        layers = [one for one in self.layers.values() if one.weight.requires_grad]
        factors = sum(one.left.numel() + one.right.numel() for one in layers)
        biases = sum(one.numel() for one in self._biases if one.requires_grad)
        return sum(one.weight.numel() for one in layers) + biases - factors

    def differentiated(self) -> None:
        """Take gradients over, and clip them."""
        for bias in self._biases:
            bias.grad = None
        for layer in self.layers.values():
            layer.differentiate()
        clip_grad_norm_(self._factors().values(), self._max_grad_norm)

    def stepped(self) -> None:
        """Take a step, and write the matrices."""
        rate = self._optimizer.param_groups[0]["lr"] * self._lr_scale
        for group in self._adam.param_groups:
            group["lr"] = rate * group["factor"]
        self._adam.step()
        for layer in self.layers.values():
            layer.merge()

    def end(self) -> Mapping[str, float]:
        """Give the number of entries of all factors."""
        return {"trainable_params": sum(one.numel() for one in self._factors().values())}

    def state(self) -> dict[str, Tensor]:
        """Factors and their moments."""
        found = self._factors()
        moments = {
            f"{name}/{key}": value
            for name, factor in found.items()
            for key, value in self._adam.state.get(factor, {}).items()
        }
        return {**found, **moments}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take over what :meth:`state` gave."""
        for name, factor in self._factors().items():
            factor.copy_(state[name])
            moments = below(f"{name}/", state)
            if moments:
                self._adam.state[factor] = {
                    key: value.to(factor.device) if value.dim() else value
                    for key, value in moments.items()
                }

    def _factors(self) -> dict[str, Tensor]:
        pairs = ((f"{name}/", one) for name, one in self.layers.items())
        return {
            begins + side: factor
            for begins, one in pairs
            for side, factor in (("left", one.left), ("right", one.right))
        }


@term_of.register
def _(method: LoRA, setting: Setting) -> Term:
    require_actor(method, setting.model, std=False)
    if setting.recipe.optimizer == "source":
        raise RecipeError(
            "LoRA has an optimizer of its own, to which the source's moments mean nothing: use "
            "optimizer='fresh'"
        )
    copied = {
        key: one
        for key, one in setting.parameters().items()
        if key in setting.copied and key != "log_std"
    }
    matrices = {key: one for key, one in copied.items() if one.dim() == 2}
    if not matrices:
        raise RecipeError(
            "LoRA changes copied matrices of the actor, and none is copied: take them out of "
            "reset, or drop it"
        )
    _check_kernels(setting, {key for key, one in copied.items() if one.dim() > 2})
    model = setting.model
    return LoRATerm(
        method,
        model.policy.optimizer,
        model.max_grad_norm,
        matrices,
        [one for one in copied.values() if one.dim() < 2],
        stream(setting.seed, method.name),
        model.transfer.scheduler.lr_scale,
    )


def _check_kernels(setting: Setting, kernels: set[str]) -> None:
    """Refuse tensors that have no rank, unless they never train."""
    plans = setting.model.transfer.scheduler.plans
    training = [one for one in setting.groups.values() if plans[one.name].trains_from < math.inf]
    wrong = [one.name for one in training if kernels & set(one.parameters)]
    if wrong:
        raise RecipeError(
            f"LoRA changes matrices, and these layer groups hold convolutions: write freeze={wrong}"
        )
