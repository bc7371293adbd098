"""Terms with a network that learns to tell the features of source and target apart."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.optim import Adam, Optimizer, RMSprop

from rltransfer.methods import DANN, WAPPO
from rltransfer.training.terms.align import AlignTerm, source_latents
from rltransfer.training.terms.setting import Setting, term_of
from rltransfer.training.terms.term import Seen, Term


class Adversary:
    """A network with one hidden layer and one output, and its optimizer.

    Args:
        width: Number of features.
        hidden: Width of the hidden layer.
        optimizer: Made from the parameters.
        device: Where it lives.
        seed: Seed of its first weights; the global random streams go on as they were.
    """

    def __init__(
        self,
        width: int,
        hidden: int,
        optimizer: Callable[[Iterator[nn.Parameter]], Optimizer],
        *,
        device: torch.device | str = "cpu",
        seed: int | None = None,
    ) -> None:
        with torch.random.fork_rng(devices=[]):
            if seed is not None:
                torch.default_generator.manual_seed(seed)
            layers = nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, 1)
        self.network = nn.Sequential(*layers).to(device)
        self.optimizer = optimizer(self.network.parameters())

    def __call__(self, features: Tensor) -> Tensor:
        """From N features, shape (N, width), to N numbers, shape (N,)."""
        return self.network(features).squeeze(-1)

    def step(self) -> None:
        """Take a step along the gradients that were left, and forget them."""
        self.optimizer.step()
        self.optimizer.zero_grad()

    @torch.no_grad()
    def clip(self, limit: float) -> None:
        """Move all weights into [-limit, limit]."""
        for parameter in self.network.parameters():
            parameter.clamp_(-limit, limit)

    def state(self) -> dict[str, Tensor]:
        """Weights and moments by name."""
        moments = self.optimizer.state_dict()["state"]
        kept = {f"{i}/{name}": v for i, one in moments.items() for name, v in one.items()}
        return {
            **{f"network/{name}": v.clone() for name, v in self.network.state_dict().items()},
            **{f"optimizer/{name}": value.clone() for name, value in kept.items()},
        }

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take over what :meth:`state` gave."""
        weights: dict[str, Tensor] = {}
        moments: dict[int, dict[str, Tensor]] = {}
        for key, value in state.items():
            owner, _, name = key.partition("/")
            if owner == "network":
                weights[name] = value
            else:
                index, _, name = name.partition("/")
                moments.setdefault(int(index), {})[name] = value.clone()
        self.network.load_state_dict(weights)
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": moments})


class Reversal(torch.autograd.Function):
    """Passes features on, and their gradient back with its sign reversed (Ganin et al. 2016)."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, factor: float) -> Tensor:
        """Pass features on."""
        ctx.factor = factor
        return features.view_as(features)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """Turn the gradient round, and multiply it by the factor."""
        return -ctx.factor * gradients[0], None


def reversal_at(progress: float) -> float:
    """Factor on reversed gradients at a fraction of training (Ganin et al. 2016, section 5.2.2)."""
    return 2 / (1 + math.exp(-10 * progress)) - 1


class DANNTerm(AlignTerm):
    """Cross entropy of a classifier, with a reversed gradient."""

    def __init__(self, method: DANN, source: Tensor, seed: int | None = None) -> None:
        super().__init__(method, source)
        self._classifier = Adversary(
            source.shape[1],
            method.hidden,
            lambda parameters: Adam(parameters, method.learning_rate),
            device=source.device,
            seed=seed,
        )
        self._reversal = 0.0
        self._correct: list[Tensor] = []

    def begin(self, seen: Seen) -> None:
        """Set strength and reversal."""
        super().begin(seen)
        self._reversal = reversal_at(seen.progress)
        self._correct = []

    def distance(self, target: Tensor) -> Tensor:
        """Classify the minibatch and as many features of the source, which count as 1."""
        reversed_target = Reversal.apply(target, self._reversal)
        logits = self._classifier(torch.cat([self.some(len(target)), reversed_target]))  # pyright: ignore[reportArgumentType, reportCallIssue]
        labels = torch.zeros_like(logits)
        labels[: len(target)] = 1
        self._correct.append(((logits > 0) == (labels > 0)).float().mean().detach())
        return binary_cross_entropy_with_logits(logits, labels)

    def stepped(self) -> None:
        """Improve the classifier."""
        self._classifier.step()

    def end(self) -> Mapping[str, float]:
        """Log how often the classifier is right: 0.5 where it cannot tell."""
        return {"accuracy": torch.stack(self._correct).mean().item()} if self._correct else {}

    def state(self) -> dict[str, Tensor]:
        """The classifier."""
        return self._classifier.state()

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take it over."""
        self._classifier.restore(state)


class WAPPOTerm(AlignTerm):
    """Wasserstein distance as a critic with clipped weights sees it."""

    def __init__(self, method: WAPPO, source: Tensor, seed: int | None = None) -> None:
        super().__init__(method, source)
        self._steps, self._limit = method.critic_steps, method.clip
        self._critic = Adversary(
            source.shape[1],
            method.hidden,
            lambda parameters: RMSprop(parameters, method.learning_rate),
            device=source.device,
            seed=seed,
        )
        self._critic.clip(self._limit)

    def distance(self, target: Tensor) -> Tensor:
        """Let the critic improve, and give what it then finds."""
        for _ in range(self._steps):
            self._critic.optimizer.zero_grad()
            (-self._gap(target.detach())).backward()
            self._critic.step()
            self._critic.clip(self._limit)
        return self._gap(target)

    def _gap(self, target: Tensor) -> Tensor:
        return self._critic(self.some(len(target))).mean() - self._critic(target).mean()

    def state(self) -> dict[str, Tensor]:
        """The critic."""
        return self._critic.state()

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take it over."""
        self._critic.restore(state)


@term_of.register
def _(method: DANN, setting: Setting) -> Term:
    return DANNTerm(method, source_latents(method, setting), setting.seed)


@term_of.register
def _(method: WAPPO, setting: Setting) -> Term:
    return WAPPOTerm(method, source_latents(method, setting), setting.seed)
