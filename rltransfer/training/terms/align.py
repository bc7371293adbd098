"""Terms that make what the actor's head reads alike on source and target."""

from __future__ import annotations

import math
from abc import abstractmethod

import torch
from torch import Tensor

from rltransfer.errors import RecipeError
from rltransfer.layers import is_head
from rltransfer.methods import CORAL, MMD, Align
from rltransfer.normalizing import observation_normalizer
from rltransfer.training.terms.fading import FadingTerm
from rltransfer.training.terms.setting import Setting, term_of
from rltransfer.training.terms.teacher import Teacher
from rltransfer.training.terms.term import Batch, Term


class AlignTerm(FadingTerm):
    """A distance between the features of source and target.

    Args:
        method: The method.
        source: What the source's head read on its own task, shape (N, width).
    """

    def __init__(self, method: Align, source: Tensor) -> None:
        super().__init__(method)
        self._source = source

    def loss(self, batch: Batch) -> Tensor | None:
        """Give the distance; one row has no distribution."""
        latent = batch.latent
        return self.distance(latent) if len(latent) > 1 else None

    @abstractmethod
    def distance(self, target: Tensor) -> Tensor:
        """Give the distance of the source from a minibatch of features, shape (B, width)."""

    def some(self, count: int) -> Tensor:
        """Draw features of the source with replacement, shape (count, width)."""
        rows = torch.randint(len(self._source), (count,), device=self._source.device)
        return self._source[rows]


class CORALTerm(AlignTerm):
    """Distance of covariances."""

    def __init__(self, method: CORAL, source: Tensor) -> None:
        super().__init__(method, source)
        self._covariance = covariance(source)

    def distance(self, target: Tensor) -> Tensor:
        """Give the squared Frobenius norm of the difference, over ``4 width^2``."""
        difference = self._covariance - covariance(target)
        return difference.square().sum() / (4 * target.shape[1] ** 2)


class MMDTerm(AlignTerm):
    """Maximum mean discrepancy."""

    def __init__(self, method: MMD, source: Tensor) -> None:
        super().__init__(method, source)
        self._samples = method.samples

    def distance(self, target: Tensor) -> Tensor:
        """Compare as many rows of each; those of a minibatch are in random order."""
        chosen = target[: self._samples]
        return squared_mmd(self.some(len(chosen)), chosen)


def covariance(features: Tensor) -> Tensor:
    """Covariances of the columns of N > 1 rows, shape (width, width)."""
    centered = features - features.mean(0)
    return centered.T @ centered / (len(features) - 1)


def squared_mmd(x: Tensor, y: Tensor) -> Tensor:
    """Biased estimate of the squared maximum mean discrepancy (Gretton et al. 2012, equation 5).

    The kernel is the mean of five Gaussian kernels, whose bandwidths are 1/4, 1/2, 1, 2 and 4 times
    the median squared distance of all rows. The median passes on no gradient.

    Args:
        x: Shape (N, width).
        y: Shape (M, width).
    """
    both = torch.cat([x, y])
    squares = both.square().sum(1)
    distances = (squares[:, None] + squares - 2 * both @ both.T).clamp_min(0)
    # Halving the bandwidth squares a Gaussian kernel.
    kernels = [(-distances / (4 * _median(distances.detach()))).exp()]
    for _ in range(4):
        kernels.append(kernels[-1].square())
    kernel = torch.stack(kernels).mean(0)
    weights = torch.cat([x.new_full((len(x),), 1 / len(x)), y.new_full((len(y),), -1 / len(y))])
    return weights @ kernel @ weights


def _median(distances: Tensor) -> Tensor:
    """Median of a symmetric (N, N), N > 1, without its diagonal, the N smallest numbers."""
    count = len(distances)
    rank = count + (count * count - count) // 2
    return distances.flatten().kthvalue(rank).values.clamp_min(1e-12)


def source_latents(method: Align, setting: Setting) -> Tensor:
    """Ask the source, as it was, what its head reads on its own task.

    Returns:
        Shape (states, width), on the model's device.

    Raises:
        RecipeError: Nothing of the learner could follow, or the source's task cannot be made.
    """
    _require_trunk_that_learns(method, setting)
    states = setting.source_states(method.states, shown=False)
    agent, device = setting.agent, setting.model.device
    normalize = observation_normalizer(agent.observation_space, agent.normalization)
    return Teacher(agent.build(device=device).policy, normalize).latent(states.observations)


def _require_trunk_that_learns(method: Align, setting: Setting) -> None:
    plans = setting.model.transfer.scheduler.plans
    trunk = [n for n in plans if not n.startswith("critic.") and not is_head(n)]
    if all(math.isinf(plans[name].trains_from) for name in trunk):
        raise RecipeError(
            f"{type(method).__name__} draws the actor's trunk, and "
            f"{'all of it is frozen: thaw it, or' if trunk else 'this policy has none:'} drop the "
            "method"
        )


@term_of.register
def _(method: CORAL, setting: Setting) -> Term:
    return CORALTerm(method, source_latents(method, setting))


@term_of.register
def _(method: MMD, setting: Setting) -> Term:
    return MMDTerm(method, source_latents(method, setting))
